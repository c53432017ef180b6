"""The statements behind a listing: one shape, filled in for each state, its order and the filters in use.

The only place where SQL is put together, because four optional filters over seven orders would be a hundred files. Only the fixed names below are put together; values
are always bound.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from holdfast.job.job import State
from holdfast.stores.postgres.rows import JOB_NAMES

_NAMED = re.compile(r"(?<!:):([a-z]\w*)")
_TEXTS = frozenset(("type", "tag", "text"))


@dataclass(frozen=True)
class Section:
    """The jobs of one state in their natural order. `key` orders them within a queue, `key_over_all` over all queues."""

    state: State
    table: str
    view: str
    key: tuple[str, ...]
    key_over_all: tuple[str, ...]
    where: str = "true"
    newest_first: bool = False

    def key_of(self, one_queue: bool) -> tuple[str, ...]:
        """The columns that order the rows."""
        return self.key if one_queue else self.key_over_all

    def may_be_key(self, one_queue: bool, key: tuple[int | str, ...]) -> bool:
        """Whether these values can be the key of one of its rows."""
        columns = self.key_of(one_queue)
        return not key or (
            len(key) == len(columns)
            and all(isinstance(part, str) is (column == "s.group_key") for part, column in zip(key, columns, strict=True))
        )


@dataclass(frozen=True)
class Prepared:
    """A statement, and the names of its parameters in their order."""

    sql: str
    names: tuple[str, ...]

    def values(self, given: Mapping[str, Any]) -> list[Any]:
        """The parameters in their order."""
        return [given[name] for name in self.names]


def _ended(state: State) -> Section:
    return Section(
        state, "ended", "ended_job", ("s.ended_at", "s.job"), ("s.ended_at", "s.job"), f"s.state = '{state.value}'", True
    )


SECTIONS = (
    Section(State.LEASED, "leased", "leased_job", ("s.fence",), ("s.fence",)),
    Section(State.READY, "ready", "ready_job", ("s.priority", "s.job"), ("s.queue", "s.priority", "s.job")),
    Section(State.READY, "held", "held_job", ("s.group_key", "s.job"), ("s.queue", "s.group_key", "s.job")),
    Section(State.READY, "ready_for", "ready_for_job", ("s.priority", "s.job"), ("s.queue", "s.priority", "s.job")),
    Section(State.SCHEDULED, "scheduled", "scheduled_job", ("s.ready_at", "s.job"), ("s.ready_at", "s.job")),
    _ended(State.DEAD),
    _ended(State.CANCELLED),
    Section(
        State.CONCLUDED, "ended", "ended_job", ("s.ended_at", "s.job"), ("s.job",), "s.state = 'concluded'", True
    ),  # over all queues by id: nearly every row of the table is one of these, so that its own order will do
)

_JOB = ", ".join(f"v.{name}" for name in JOB_NAMES)
_SAME = {
    "leased": " AND v.fence = s.fence",
    "ready": " AND v.queue = s.queue AND v.priority = s.priority",
    "held": " AND v.queue = s.queue AND v.group_key = s.group_key",
    "ready_for": " AND v.line = s.worker AND v.queue = s.queue AND v.priority = s.priority",
}
"""How the row of a state's table is found again through its view, where the job's id alone is not its key."""

_TEXT = (
    "((CASE WHEN :searched IS NULL OR j.size <= :searched THEN position(convert_to(:text, 'UTF8') IN j.payload) > 0 ELSE false END)"
    " OR EXISTS (SELECT 1 FROM job_error e WHERE e.job = j.id AND strpos(e.reason, :text) > 0))"
)
_PAYLOAD = "CASE WHEN :shown IS NULL OR j.size <= :shown THEN j.payload ELSE ''::bytea END"
_FILTERS = (
    "(:type IS NULL OR j.type = :type)",
    "(:tag IS NULL OR (j.extras IS NOT NULL AND coalesce(j.extras::jsonb->6 ? :tag, false)))",
    f"(:text IS NULL OR {_TEXT})",
)


def _where(section: Section, one_queue: bool, after: bool, up_to: bool) -> str:
    key = section.key_of(one_queue)
    columns = ", ".join(key)
    beyond, within = ("<", ">=") if section.newest_first else (">", "<=")
    terms = [section.where]
    if one_queue:
        terms.append("s.queue = :queue")
    if after:
        terms.append(f"({columns}) {beyond} ({_bounds(key, 'k')})")
    if up_to:
        terms.append(f"({columns}) {within} ({_bounds(key, 'b')})")
    return " AND ".join(terms)


def _bounds(key: tuple[str, ...], letter: str) -> str:
    return ", ".join(f":{letter}{n}{'t' if column == 's.group_key' else ''}" for n, column in enumerate(key))


def named(letter: str, key: tuple[int | str, ...]) -> dict[str, int | str]:
    """The values of a key under the names that the statements use."""
    return {f"{letter}{n}{'t' if isinstance(part, str) else ''}": part for n, part in enumerate(key)}


def _order(section: Section, one_queue: bool) -> str:
    way = " DESC" if section.newest_first else ""
    return ", ".join(column + way for column in section.key_of(one_queue))


def _prepared(sql: str) -> Prepared:
    names = tuple(dict.fromkeys(_NAMED.findall(sql)))

    def numbered(found: re.Match[str]) -> str:
        name = found[1]
        kind = "text" if name in _TEXTS or (name[0] in "kb" and name.endswith("t")) else "int" if name == "queue" else "bigint"
        return f"${names.index(name) + 1}::{kind}"

    return Prepared(_NAMED.sub(numbered, sql), names)


@cache
def bound_sql(section: Section, one_queue: bool, after: bool) -> Prepared:
    """Find the key up to which a filtered page looks: :scanned rows on."""
    columns = ", ".join(section.key_of(one_queue))
    where = _where(section, one_queue, after, up_to=False)
    order = _order(section, one_queue)
    return _prepared(f"SELECT {columns} FROM {section.table} s WHERE {where} ORDER BY {order} LIMIT 1 OFFSET :scanned - 1")


@cache
def page_sql(section: Section, one_queue: bool, after: bool, up_to: bool, filtered: bool) -> Prepared:
    """Read a page: the job's columns, its content, and its key at the end."""
    columns = ", ".join(section.key_of(one_queue))
    where = _where(section, one_queue, after, up_to)
    if filtered:
        where = " AND ".join((where, *_FILTERS))
    same = _SAME.get(section.table, "")
    return _prepared(
        f"SELECT {_JOB}, j.type, j.content_type, {_PAYLOAD}, {columns} FROM {section.table} s"
        f" JOIN job j ON j.id = s.job JOIN {section.view} v ON v.id = s.job{same}"
        f" WHERE {where} ORDER BY {_order(section, one_queue)} LIMIT :limit"
    )


@cache
def count_sql(section: Section, one_queue: bool, up_to: bool) -> Prepared:
    """Count the rows that match, among those up to the bound."""
    where = " AND ".join((_where(section, one_queue, False, up_to), *_FILTERS))
    return _prepared(f"SELECT count(*) FROM {section.table} s JOIN job j ON j.id = s.job WHERE {where}")
