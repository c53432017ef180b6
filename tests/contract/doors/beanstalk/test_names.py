"""Every tube has a queue; and from the queue's name the tube's is known again."""

import re
import string

from hypothesis import example, given
from hypothesis import strategies as st

from holdfast.doors.beanstalk.names import in_yaml, is_tube, queue_of, tube_of
from holdfast.limits import QUEUE_NAME, QUEUE_NAME_SQL

TUBE = st.text(string.ascii_letters + string.digits + "-+/;.$_()", min_size=1, max_size=200).filter(lambda name: name[0] != "-")


@given(TUBE)
@example("." * 200)
@example("..")
@example(".")
@example("/" * 200)
def test_a_tube_is_found_again_by_the_name_of_its_queue(tube):
    queue = queue_of(tube)
    assert is_tube(tube)
    assert QUEUE_NAME.match(queue)
    assert re.match(QUEUE_NAME_SQL, queue)
    assert tube_of(queue) == tube


@given(st.from_regex(r"[A-Za-z0-9._:-]{1,60}|(:[0-9A-F]{2}|[A-Z:]){1,40}", fullmatch=True))
@example(".")
@example("..")
@example(":2E")
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
