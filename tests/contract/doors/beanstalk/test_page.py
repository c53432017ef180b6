"""The page about this protocol: it names every bound and every number."""

import re

from holdfast import limits
from holdfast.doors.beanstalk.numbers import VERBS
from tests.contract.doors.beanstalk.script import Client, tube_port
from tests.system.docs.pages import read

PAGE = read("docs/beanstalkd.md")


def test_the_bounds_are_those_in_force():
    for bound in (
        limits.TUBE_RESERVED,
        limits.TUBE_CONNECTIONS,
        limits.URGENT_COUNTED,
        limits.QUEUES_PER_LEASE,
        limits.TUBE_NAME_BYTES,
    ):
        assert f"{bound:,}" in PAGE


def test_every_metric_is_named(server):
    with server.client() as http:
        names = set(re.findall(r"^holdfast_beanstalk(_\w+)\{", http.get("/metrics").text, re.MULTILINE))
    assert names == {"_commands_total", "_clients", "_connected", "_connections_total", "_turned_away_total"}
    assert all(name in PAGE for name in names)


def test_every_verb_is_counted(server):
    client = Client(tube_port(server))
    client.send(b"stats\r\n")
    client.body(int(client.line().split()[1]))
    with server.client() as http:
        text = http.get("/metrics").text
    assert set(re.findall(r'holdfast_beanstalk_commands_total\{command="([^"]+)"', text)) == set(VERBS)
    client.close()
