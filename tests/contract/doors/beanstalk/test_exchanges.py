"""The same exchanges at Debian's beanstalkd 1.12 and at Holdfast: both are held to one table."""

import pytest

from tests.contract.doors.beanstalk.exchanges import LINES, SCRIPTS, STRICTER
from tests.contract.doors.beanstalk.script import Client, Talk, tube_port

NOT_ALWAYS = "a job whose time to run is up is ready again, and the timeout is counted"
"""beanstalkd's timer now and then misses a time to run that ends, and the job stays reserved until something else happens."""


@pytest.mark.parametrize("name", SCRIPTS)
def test_both_say_the_same(port, request, tube, name):
    forgiven = 4 if name == NOT_ALWAYS and port == request.getfixturevalue("beanstalkd") else 0
    while True:
        talk = Talk(port, f"{tube}-{forgiven}")
        try:
            for step in SCRIPTS[name]:
                talk.step(*step)
        except AssertionError:
            if not forgiven:
                raise
            forgiven -= 1
            continue
        talk.end()
        return


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_holdfast_says_the_same_however_the_bytes_are_cut(server, tube, script):
    """Every byte in a packet of its own would take long for the large bodies; the small scripts are cut to single bytes."""
    if sum(len(sent) for _, sent, _ in script) > 5_000:
        pytest.skip("a large body is cut by the network itself")
    talk = Talk(tube_port(server), tube)
    for who, sent, expected in script:
        if sent in ("CLOSE", "HALF", ""):
            talk.step(who, sent, expected)
            continue
        data = talk.filled(sent).encode("latin-1")
        for n in range(len(data)):
            talk.client(who).send(data[n : n + 1])
        talk.step(who, "", expected)
    talk.end()


def test_every_line_is_judged_alike(port, tube):
    talk = Talk(port, tube)
    client = talk.client("a")
    client.send(f"watch {tube}\r\n".encode())
    assert client.line() == b"WATCHING 1"
    judged = {line: client.ask(line.encode("latin-1") + b"\r\n").decode() for line in LINES}
    assert judged == LINES
    assert client.ask(f"use {tube}\r\n".encode()) == f"USING {tube}".encode()
    talk.end()


def test_a_time_that_is_no_whole_number_is_not_taken_for_one(server, beanstalkd):
    theirs, ours = (Client(port) for port in (beanstalkd, tube_port(server)))
    tube = b"use strict\r\nwatch strict\r\nignore default\r\n"
    for client in (theirs, ours):
        client.send(tube)
        assert [client.line() for _ in range(3)] == [b"USING strict", b"WATCHING 2", b"WATCHING 1"]
    asked = {line: line.encode("latin-1") + b"\r\n" for line in STRICTER}
    assert {line: theirs.ask(data).decode() for line, data in asked.items()} == STRICTER
    assert {line: ours.ask(data) for line, data in asked.items()} == dict.fromkeys(STRICTER, b"BAD_FORMAT")
    assert ours.ask(b"reserve-with-timeout -1\r\n") == b"BAD_FORMAT"  # beanstalkd waits for ever
    ours.close()
    theirs.close()


def test_the_version_is_one_that_clients_can_read(server, beanstalkd):
    theirs, ours = (Client(port) for port in (beanstalkd, tube_port(server)))
    said = [client.page(b"stats\r\n")["version"] for client in (theirs, ours)]
    assert said == ['"1.12"', '"1.12"']
    ours.close()
    theirs.close()


def test_a_page_of_all_numbers_has_the_fields_of_beanstalkd_in_its_order(server, beanstalkd):
    theirs, ours = (Client(port) for port in (beanstalkd, tube_port(server)))
    for command in (b"stats\r\n", b"stats-tube default\r\n"):
        assert list(ours.page(command)) == list(theirs.page(command))
    ours.close()
    theirs.close()
