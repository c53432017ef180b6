"""A report that a later run is added to: what was measured again is replaced, and nothing else is lost."""

import msgspec

from bench.__main__ import RESULTS
from bench.goals import judge
from bench.report import markdown
from bench.summary import Report


def test_a_run_without_peers_that_is_added_keeps_the_peers_and_the_sizes_of_the_earlier_one():
    earlier = msgspec.json.decode((RESULTS / "latest.json").read_bytes(), type=Report)
    row = next(row for row in earlier.rows if row.name == "push")
    sizes = msgspec.structs.replace(earlier.sizes, runs=1)
    later = msgspec.structs.replace(earlier, rows=[row], lines=[], counts=[], peers={}, start_s=[], sizes=sizes, seconds=10)
    both = later.added_to(earlier)
    assert both.peers == earlier.peers
    assert both.sizes == earlier.sizes
    assert both.seconds == earlier.seconds + 10
    assert sorted({line.name for line in both.lines}) == sorted({line.name for line in earlier.lines})
    assert [line.runs for line in both.lines if line.name == "push"] == [1]
    page = markdown(both, judge(both), "latest.svg")
    assert all(f"| {line.subject} |" in page for line in earlier.lines if line.subject != "holdfast")
