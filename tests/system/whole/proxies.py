"""The proxies that users put in front: nginx and HAProxy as Debian has them, each with the configuration that a user would write."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.ports import free_port
from tests.system.whole.machine import need, tool_path
from tests.system.whole.servers import NotAsExpected, Output, until

_NGINX = """
{user}
daemon off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream plain {{ server 127.0.0.1:{plain}; keepalive 16; }}
    upstream prefixed {{ server 127.0.0.1:{prefixed}; keepalive 16; }}
    map $http_upgrade $websocket {{ default ""; websocket websocket; }}
    map $http_upgrade $any_upgrade {{ "" ""; default upgrade; }}
    map $websocket $upgrade_or_reuse {{ default ""; websocket upgrade; }}
    proxy_http_version 1.1;
    proxy_set_header Upgrade $websocket;
    proxy_set_header Connection $upgrade_or_reuse;
    proxy_set_header Host $http_host;
    client_max_body_size 64m;
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://plain; }}
        location /kept/ {{ proxy_pass http://prefixed; }}
        # As many write it: whatever is offered is passed on.
        location /stripped/ {{
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $any_upgrade;
            proxy_set_header Host $http_host;
            proxy_pass http://plain/;
        }}
        # What nginx does unless it is told otherwise: HTTP/1.0, and a connection for each request.
        location /simple/ {{
            proxy_http_version 1.0;
            proxy_set_header Connection close;
            proxy_set_header Host $http_host;
            proxy_pass http://plain/;
        }}
    }}
}}
"""

_HAPROXY = """
global
    maxconn 500
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend in
    bind 127.0.0.1:{port}
    use_backend prefixed if {{ path_beg /kept/ }}
    use_backend stripped if {{ path_beg /stripped/ }}
    use_backend simple if {{ path_beg /simple/ }}
    default_backend plain
backend plain
    server one 127.0.0.1:{plain}
backend prefixed
    server one 127.0.0.1:{prefixed}
backend stripped
    http-request replace-path /stripped(/.*) \\1
    server one 127.0.0.1:{plain}
backend simple
    option httpclose
    http-request replace-path /simple(/.*) \\1
    server one 127.0.0.1:{plain}
"""


@contextmanager
def nginx(folder: Path, plain: int, prefixed: int) -> Iterator[str]:
    """nginx in front of two servers, one of which knows that it is shown under /kept; the URL."""
    need("nginx")
    folder.mkdir()
    user = "user root;" if os.geteuid() == 0 else ""
    with _running(folder, _NGINX, ["nginx", "-p", str(folder), "-c"], plain=plain, prefixed=prefixed, user=user) as url:
        yield url


@contextmanager
def haproxy(folder: Path, plain: int, prefixed: int) -> Iterator[str]:
    """HAProxy in front of the same."""
    need("haproxy")
    folder.mkdir()
    with _running(folder, _HAPROXY, ["haproxy", "-db", "-f"], plain=plain, prefixed=prefixed) as url:
        yield url


@contextmanager
def _running(folder: Path, text: str, command: list[str], **values: object) -> Iterator[str]:
    for _ in range(5):  # somebody else may take the port between our look and the start
        port = free_port()
        config = folder / "proxy.conf"
        config.write_text(text.format(port=port, folder=folder, **values))
        process = subprocess.Popen(
            [tool_path(command[0]), *command[1:], config],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert process.stderr is not None
        said = Output(process.stderr)
        until(lambda port=port, process=process: _listens(port) or process.poll() is not None, "the proxy listens")
        if process.poll() is None:
            break
    else:
        raise NotAsExpected(f"{command[0]} did not start: {said.text}")
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
