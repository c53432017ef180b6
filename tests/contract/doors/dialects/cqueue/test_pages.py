"""The page about the dialect says what is so."""

import re

from holdfast.doors.dialects.cqueue.replies import SHOWN_STATUS, STATUS
from tests.system.docs.pages import read, rows


def section() -> str:
    return read("docs/dialects.md").partition("\n## CQueue and the in-memory job queue\n")[2].partition("\n## ")[0]


def test_the_page_has_every_refusal_and_every_status():
    table = {code: int(row[0]) for row in rows(section()) if row[0].isdigit() for code in re.findall(r"`(\w+)`", row[1])}
    assert table == {code: status for code, status in STATUS.items() if code != "internal_error"}
    shown = section().partition("| `Status` |")[2].partition("\n\n")[0]
    assert {status for row in rows(shown) for status in re.findall(r"`([A-Z_]+)`", row[0])} == set(SHOWN_STATUS.values())
