"""Durations and sizes as people write them: what is shown is read back as the same, and what is unclear is refused."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import units
from holdfast.limits import CAPACITY_BYTES_MAX, DELAY_MS_MAX


@given(st.integers(0, DELAY_MS_MAX) | st.integers(0, 10_000).map(lambda count: count * 60_000))
def test_a_duration_that_is_shown_is_read_back(ms):
    assert units.duration_ms(units.duration(ms)) == ms


@given(
    st.integers(0, CAPACITY_BYTES_MAX)
    | st.builds(lambda count, shift: count << shift, st.integers(0, 2_000), st.integers(0, 39))
)
def test_a_size_that_is_shown_is_read_back(count):
    assert units.size_bytes(units.size(count)) == count


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("10m", 600_000),
        ("24h", 86_400_000),
        ("1.5s", 1_500),
        ("1h 30m", 5_400_000),
        ("1h30m", 5_400_000),
        ("1 h 30 min", 5_400_000),
        (" 250ms ", 250),
        ("0.5d", 43_200_000),
        ("0", 0),
        ("7d", 604_800_000),
    ],
)
def test_durations_are_read_as_people_write_them(text, ms):
    assert units.duration_ms(text) == ms


@pytest.mark.parametrize(
    ("ms", "text"), [(600_000, "10m"), (86_400_000, "1d"), (1_500, "1.5s"), (61_001, "1m 1.001s"), (0, "0s"), (999, "999ms")]
)
def test_durations_are_shown_in_their_units(ms, text):
    assert units.duration(ms) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(4 << 30, "4 GiB"), (100_000_000, "100 MB"), (1_536, "1.5 KiB"), (0, "0 B"), (1_001, "1001 B"), (1 << 50, "1024 TiB")],
)
def test_sizes_are_shown_in_the_unit_that_makes_them_short(count, text):
    assert units.size(count) == text


@pytest.mark.parametrize(
    ("text", "count"),
    [("4 GiB", 4 << 30), ("4gib", 4 << 30), ("1.5 MiB", 1_572_864), ("100 MB", 10**8), ("1000", 1_000), ("7 B", 7)],
)
def test_sizes_are_read_as_people_write_them(text, count):
    assert units.size_bytes(text) == count


@pytest.mark.parametrize(
    "text",
    [
        "",
        "60000",
        "m",
        "10",
        "10x",
        "10M",
        "1 week",
        "-1s",
        "1h 1h",
        "30m 1h",
        "1e3s",
        "٣s",
        "1.5.5s",
        "10 minutes",
        "0.5ms",
        "1s" * 60,
        "9" * 30 + "s",
    ],
)
def test_a_duration_that_is_unclear_is_refused(text):
    with pytest.raises(ValueError, match=r"^must be "):
        units.duration_ms(text)


@pytest.mark.parametrize(
    "text", ["", "GiB", "4G", "4 PiB", "-1", "1e9", "0.5", "1.0001 kB", "4 GiB 1", "٣", "1_0", " " * 99 + "1 B1"]
)
def test_a_size_that_is_unclear_is_refused(text):
    with pytest.raises(ValueError, match=r"^must be "):
        units.size_bytes(text)


def test_a_number_alone_counts_where_a_unit_is_meant():
    assert units.duration_ms("1.5", bare_ms=1_000) == 1_500


@pytest.mark.parametrize(("count", "said"), [(0, "0 jobs are"), (1, "1 job is"), (2, "2 jobs are"), (2_500, "2,500 jobs are")])
def test_a_number_agrees_with_its_noun_and_its_verb(count, said):
    assert f"{units.counted(count, 'job')} {units.is_or_are(count)}" == said


PLURAL = re.compile(
    r"\{(?![A-Z_]*\})[^{}\"]+\} (?:jobs|queues|schedules|workers|lines|rows|keys|problems|warnings|things|ways)\b"
)


def test_no_message_of_the_command_line_has_a_plural_of_its_own():
    """`units.counted` makes them all, so that none says "1 jobs"; a bound, which is a constant, is never one."""
    sources = sorted((Path(units.__file__).parent / "cli").glob("*.py"))
    assert len(sources) > 20
    assert PLURAL.search('f"{done} jobs are in"')
    assert not PLURAL.search('f"more than {_JOBS:,} jobs"'.replace(":,", ""))
    wrong = [
        f"{path.name}: {line.strip()}"
        for path in sources
        for line in path.read_text().splitlines()
        if PLURAL.search(re.sub(r"\{([A-Z_]+):,\}", r"{\1}", line))
    ]
    assert not wrong
