"""Every tube has a queue, or is refused for its length; and from the queue's name the tube's is known again."""

import string

from hypothesis import given
from hypothesis import strategies as st

from holdfast.doors.beanstalk.names import in_yaml, is_tube, queue_of, tube_of
from holdfast.limits import QUEUE_NAME

TUBE = st.text(string.ascii_letters + string.digits + "-+/;.$_()", min_size=1, max_size=200).filter(lambda name: name[0] != "-")


@given(TUBE)
def test_a_tube_is_found_again_by_the_name_of_its_queue(tube):
    queue = queue_of(tube)
    assert is_tube(tube)
    if queue is None:
        assert len(tube) + 2 * sum(tube.count(sign) for sign in "+/;$()") > 128
    else:
        assert QUEUE_NAME.match(queue)
        assert tube_of(queue) == tube


@given(st.from_regex(QUEUE_NAME, fullmatch=True))
def test_a_queue_has_one_tube_or_none(queue):
    tube = tube_of(queue)
    assert tube is None or queue_of(tube) == queue


def test_ordinary_names_are_the_same_on_both_sides():
    assert queue_of("mail.out_2-x") == "mail.out_2-x"
    assert queue_of("mail/in") == "mail:2Fin"
    assert tube_of("mail:2Fin") == "mail/in"
    for no_tube in ("a:b", "mail:2fin", "-a", ":41"):
        assert tube_of(no_tube) is None


def test_names_that_yaml_would_misread_are_quoted():
    assert in_yaml("default") == "default"
    assert [in_yaml(name) for name in ("12", "true", "$a", "1.5e3")] == ['"12"', '"true"', '"$a"', '"1.5e3"']
