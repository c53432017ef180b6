"""A test that fails ends that test, and not the run."""

import pytest

from tests.conftest import with_lines


def outside(what):
    """Calls it; this frame has lines."""
    what()


def nowhere():
    """Fails."""
    raise ValueError("it hung")


def test_a_failure_at_an_instruction_of_no_line_is_told():
    nowhere.__code__ = nowhere.__code__.replace(co_linetable=b"")
    with pytest.raises(ValueError, match="it hung") as failure:
        outside(nowhere)
    with pytest.raises(TypeError):
        failure.getrepr()
    with_lines(failure)
    told = str(failure.getrepr())
    assert "outside" in told
    assert "it hung" in told
