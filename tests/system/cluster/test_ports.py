"""A port that is chosen for a program stays free until the program listens."""

import socket
import subprocess
import sys
from pathlib import Path

from cluster.ports import STRETCH, free_port, free_ports

GIVEN_OUT = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_ports_are_outside_the_range_for_outgoing_connections():
    first, last = map(int, GIVEN_OUT.read_text().split())
    assert not {port for port in free_ports(STRETCH) if first <= port <= last}


def test_processes_get_different_ports_even_before_they_listen():
    script = f"from cluster.ports import free_ports; print(*free_ports({STRETCH}), flush=True); input()"
    command = [sys.executable, "-c", script]
    others = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    try:
        given = [set(map(int, other.stdout.readline().split())) for other in others]
    finally:
        for other in others:
            other.communicate("\n")
    assert [len(ports) for ports in given] == [STRETCH] * 4
    assert len(set.union(*given)) == 4 * STRETCH


def test_a_port_with_a_listener_is_not_used():
    taken = free_ports(STRETCH)
    with socket.create_server(("127.0.0.1", taken[-1])):
        assert taken[-1] not in [free_port() for _ in range(STRETCH)]
