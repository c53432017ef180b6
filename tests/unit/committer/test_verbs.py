"""What a new verb must have: a row that says how it is decided, and a tag of its own on the wire."""

from collections import Counter

from holdfast.committer.verbs import VERBS
from holdfast.keeper import frames  # noqa: F401  (it imports all that travels)
from holdfast.messages.frame import Answer, Command, Request, kinds_of


def test_every_command_has_its_row():
    assert set(VERBS) == set(kinds_of(Command))


def test_no_two_messages_share_a_tag():
    tags = Counter(kind.__struct_config__.tag for base in (Request, Answer) for kind in kinds_of(base))
    assert tags
    assert [tag for tag, times in tags.items() if times > 1] == []
