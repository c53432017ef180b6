"""A secret is planted in every door, rightly and wrongly, and looked for wherever the server writes: logs, answers, metrics, files, errors."""

import base64
import json
import os
import socket
import sys

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from holdfast.auth import keys as rules
from tests import prefork
from tests.system.whole.test_revoked_key import Node, holdfast

pytestmark = pytest.mark.long(15)
WRONG = "hf_WRONGwrongWRONGwrongWRONGwrongWRONGwrong123456"


def forms_of(secret):
    """How it could stand somewhere."""
    return [
        secret.encode(),
        base64.b64encode(f"anna:{secret}".encode()),
        secret[3:40].encode(),
    ]


def test_no_secret_is_in_a_log_an_answer_a_metric_or_a_file(tmp_path):
    store = f"sqlite:///{tmp_path}/jobs.db"
    planted = rules.new_secret()
    (tmp_path / "admin").write_text(planted + "\n")
    node = Node(store, tmp_path / "log", "--log-level", "debug", "--admin-key-file", str(tmp_path / "admin"))
    told: list[bytes] = []

    def ask(method, path, header, **options):
        answer = httpx.request(method, node.url + path, headers={"authorization": header}, timeout=20, **options)
        told.append(str(answer.headers).encode() + answer.content)
        return answer

    made = ask("POST", "/v1/keys", f"Bearer {planted}", json={"name": "ci", "abilities": ["read", "produce", "consume"]})
    secret = made.json()["secret"]
    told.clear()  # where it is shown, once
    for key in (planted, secret, WRONG):
        basic = base64.b64encode(f"anna:{key}".encode()).decode()
        for header in (f"Bearer {key}", f"Basic {basic}", f"Token {key}", key):
            ask("GET", "/v1/queues", header)
            ask("GET", f"/v1/queues?token={key}", header)
            httpx.get(
                f"{node.url}/v1/nothing/{key}", headers={"authorization": header}, timeout=20
            )  # its sender is told the path
            ask("POST", "/v1/queues/q/jobs", header, json={"payload": 1, "nonsense": 1})
        with socket.create_connection(("127.0.0.1", node.tubes), timeout=20) as line:
            line.sendall(b"auth " + key.encode() + b"\r\nstats\r\nquit\r\n")
            told.append(line.makefile("rb").read())
        try:
            with connect(
                node.url.replace("http", "ws") + "/v1/channel", additional_headers={"authorization": f"Bearer {key}"}
            ) as channel:
                channel.send(json.dumps({"op": "nonsense"}))
                told.append(channel.recv(20).encode())
        except InvalidStatus as refused:
            told.append(refused.response.body or b"")
        page = httpx.Client(base_url=node.url, timeout=20)
        form = page.get("/web/login").text
        token = form.partition('name="form_token" value="')[2][:64]
        answer = page.post("/web/login", data={"form_token": token, "key": key, "next": "/web"})
        told.append(str(answer.headers).encode() + answer.content)
        told.append(page.get("/web", follow_redirects=True).content)
    for path in ("/metrics", "/v1/keys", "/v1/keys/ci", "/v1/stats", "/web/keys", "/web/audit", "/openapi.json"):
        ask("GET", path, f"Bearer {planted}")
    environment = {**os.environ, "HOLDFAST_TOKEN": WRONG, "HOLDFAST_URL": node.url}
    for words in (["job", "ls"], ["key", "ls"], ["queue", "ls", "--json"]):
        done = prefork.run(
            [sys.executable, "-m", "holdfast", *words], capture_output=True, env=environment, timeout=60, check=False
        )
        assert done.returncode == 1, done.stderr
        told.append(done.stdout + done.stderr)
    told.append(holdfast("key", "ls", "--json", store=store).encode())
    node.stop()
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file() and path.name != "admin"}
    assert {"jobs.db", "log"} <= set(files)
    for key in (planted, secret, WRONG):
        for form in forms_of(key):
            assert not [text for text in told if form in text]
            assert not [name for name, data in files.items() if form in data]
    assert rules.hash_of(secret) not in b"".join(told)
    assert b"failed_logins" in b"".join(told)
