"""Columns travel as arrays in PostgreSQL's own writing: what comes back must be what was sent, whatever stands in it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.stores.postgres.sql import numbers, texts
from tests.contract.stores.conformance.conftest import postgres_server

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5) | st.sampled_from(
    ['"', "\\", '","', "{}", "NULL", "null", "", " ", '\\"', "a,b", "'", "\n"]
)


@pytest.fixture(scope="module")
def read():
    """Asks the server what it takes an array for."""
    with postgres_server().connect() as connection:
        yield lambda written, kind: connection.execute(f"SELECT %s::text::{kind}[]".encode(), (written,)).fetchone()[0]


@given(column=st.lists(st.none() | TEXTS, max_size=4))
def test_texts(read, column):
    assert read(texts(column), "text") == column


@given(column=st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=4))
def test_numbers(read, column):
    assert read(numbers(column), "bigint") == column


@given(column=st.lists(st.none() | st.booleans(), max_size=4))
def test_yes_and_no(read, column):
    assert read(numbers(column), "boolean") == column
