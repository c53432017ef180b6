"""The table of what the earlier queues asked for names tests that are there."""

import re

from tests.system.docs.pages import ROOT, read, rows


def test_every_test_that_the_table_of_wishes_names_is_there_and_is_named_where_there_is_one():
    named, bare = set(), []
    for row in rows(read("tests/contract/doors/dialects/README.md")):
        if len(row) == 3 and row[0] not in ("asked for", "---"):
            tests = re.findall(r"`(test_\w+)`", row[2])
            named |= set(tests)
            if not tests and row[2] != "–":
                bare.append(row)
    there = {
        name
        for file in ROOT.glob("tests/**/test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    assert named
    assert not named - there
    assert not bare
