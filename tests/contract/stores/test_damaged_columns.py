"""Every column of every table is damaged in turn, in a real store, while nobody serves it and while it is served: what stands beside it is served as if nothing were, time passes, and what
was damaged can be removed by the ordinary verbs. Which values a column is given depends on what it holds; what must hold does not.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.stores.damaged import (
    BYTES,
    NUMBERS,
    TABLES,
    TEXTS,
    everything_holds,
    filled_store,
    folder,
    place,
    templates,
    the_neighbour_is_served,
    values,
)
from tests.every_case import EVERY_CASE

__all__ = ["folder", "place", "templates"]

pytestmark = pytest.mark.long(160)

TURNS = range(max(len(NUMBERS), len(TEXTS) + 1, len(BYTES)))
WARM = (0, 3, 9)  # while it is served: what is remembered differs, and not what decodes a column


def _cases() -> Iterator[Any]:
    """Each table with the values that it is damaged with, at rest and while it is served; in a database fewer: what decodes a column is the same.

    Every value in every column takes an hour; without `EVERY_CASE` each value is tried in a twentieth of the tables.
    """
    for number, table in enumerate(TABLES):
        rest = [turn for turn in TURNS if EVERY_CASE or (turn + number) % 20 == 0]
        warm = WARM if EVERY_CASE else (WARM[number % len(WARM)],)
        bases = (False, True) if EVERY_CASE else (number % 2 == 0,) if number % 3 == 0 else ()
        for store, turn, served in (
            *(("sqlite", turn, False) for turn in rest),
            *(("sqlite", turn, True) for turn in warm),
            *(("postgres", 3, served) for served in bases),
        ):
            yield pytest.param(table, store, turn, served, id=f"{table}-{store}-{turn}-{served}")


@pytest.mark.parametrize(("table", "place", "turn", "served"), list(_cases()), indirect=["place"])
async def test_no_value_in_any_column_keeps_its_neighbours_from_being_served(place, table, turn, served, request, templates):
    await filled_store(place, templates)
    client, tried = None, 0
    for column, kind in [(column, kind) for of, column, kind in place.columns() if of == table]:
        several = values(kind)
        if turn >= len(several) or (table, column) == ("counter", "name"):
            continue
        if served and client is None:
            client = place.open()
            await the_neighbour_is_served(client, ())  # what is remembered is remembered
        if not place.damage(table, column, several[turn], client):
            continue  # nothing has changed: the next column is damaged in the same store
        try:
            await everything_holds(client or place.open())
        except BaseException as error:
            error.add_note(f"{table}.{column} = {several[turn]!r:.80}")
            raise
        client, tried = None, tried + 1
        place = type(place)(place_folder(request, tried))
        await filled_store(place, templates)
    if client is not None:
        await client.close()


def place_folder(request, number):
    folder = request.getfixturevalue("folder") / str(number)
    folder.mkdir()
    return folder
