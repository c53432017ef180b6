"""Whatever is pushed is given back exactly, in whichever form it came; what could not be is refused."""

import json
import subprocess
from urllib.parse import urlencode

import httpx
import pytest

MESSAGES = {
    "empty": "",
    "blank": " ",
    "newlines": "one\ntwo\r\nthree\n\n",
    "unicode": "Grüße, 漢字, 😀, \u2028, e\u0301",
    "control characters": "\0\x01\t\x7f",
    "what JSON escapes": 'a "quoted" \\ back\\slash / and \\u0041',
    "what a form escapes": "a=b&c=d+e %20%zz;f",
    "JSON in itself": '{"msg": "inner"}',
    "60 kB": "0123456789abcde\n" * 3_750,
    "60 kB of Unicode": "漢" * 20_000,
}
every_message = pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)


def pushed(client: httpx.Client, content: bytes | str, kind: str | None) -> None:
    answer = client.post("/push", content=content, headers={} if kind is None else {"content-type": kind})
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"id", "durability"}
    assert answer.json()["durability"] == {"level": "memory", "replicas": 0}


def got(client: httpx.Client) -> str:
    answer = client.get("/get")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    message = json.loads(answer.content)
    assert isinstance(message, str)
    return message


@every_message
@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "application/vnd.task+json", None])
def test_a_message_in_json_comes_back_exactly(client, message, kind):
    pushed(client, json.dumps({"msg": message}, ensure_ascii=kind is None), kind)
    assert got(client) == message


@every_message
def test_a_message_in_a_form_comes_back_exactly(client, message):
    pushed(client, urlencode({"msg": message}), "application/x-www-form-urlencoded")
    assert got(client) == message


@every_message
@pytest.mark.parametrize("kind", ["text/plain", "text/plain; charset=UTF-8", "application/octet-stream", "application/xml"])
def test_a_body_of_any_other_type_is_the_message(client, message, kind):
    pushed(client, message.encode(), kind)
    assert got(client) == message


@every_message
def test_a_message_in_a_form_of_many_parts_comes_back_exactly(client, message):
    assert client.post("/push", files={"msg": (None, message.encode())}).status_code == 200
    assert got(client) == message
    assert client.post("/push", files={"msg": ("message.txt", message.encode())}).status_code == 200
    assert got(client) == message


def test_escapes_in_json_are_the_characters_that_they_stand_for(client):
    pushed(client, rb'{"msg": "\u00e4\ud83d\ude00\u0000\/"}', "application/json")
    assert got(client) == "ä😀\0/"


def test_the_ways_in_which_curl_sends_a_message_all_work(client, server, tmp_path):
    (tmp_path / "message").write_text("from\na file\n")
    for options in (
        ["--json", '{"msg": "from\\na file\\n"}'],
        ["--data-urlencode", "msg@message"],
        ["--data-binary", "@message", "--header", "Content-Type: text/plain"],
        ["--form", "msg=<message"],
        ["--form", "msg=@message"],
    ):
        command = ["curl", "--silent", "--fail", *options, f"{server.url}/push"]
        assert json.loads(subprocess.run(command, check=True, capture_output=True, cwd=tmp_path, timeout=30).stdout)["id"]
        assert got(client) == "from\na file\n"


def test_other_members_of_the_json_are_left_alone(client):
    pushed(client, '{"priority": 7, "msg": "it", "more": [{}]}', "application/json")
    assert got(client) == "it"


FORM, JSON, TEXT = "application/x-www-form-urlencoded", "application/json", "text/plain"
REFUSED = {
    "no body": (None, b""),
    "no body in JSON": (JSON, b""),
    "no msg": (JSON, b"{}"),
    "another member": (JSON, b'{"message": "it"}'),
    "null": (JSON, b"null"),
    "a list": (JSON, b'["it"]'),
    "a string": (JSON, b'"it"'),
    "msg is a number": (JSON, b'{"msg": 7}'),
    "msg is null": (JSON, b'{"msg": null}'),
    "msg is an object": (JSON, b'{"msg": {"it": 1}}'),
    "broken JSON": (JSON, b'{"msg": "it'),
    "broken JSON of no type": (None, b"it"),
    "half a character": (JSON, rb'{"msg": "\ud83d"}'),
    "JSON that is not UTF-8": (JSON, b'{"msg": "\xe4"}'),
    "an empty form": (FORM, b""),
    "a form without msg": (FORM, b"message=it"),
    "a form with two of them": (FORM, b"msg=one&msg=two"),
    "a message cut by a bare &": (FORM, b"msg=salt&pepper"),
    "a message cut by a bare & and =": (FORM, b"msg=a=1&b=2"),
    "JSON that is called a form": (FORM, b'{"msg": "it"}'),
    "a form that is not UTF-8": (FORM, b"msg=%e4"),
    "a raw form that is not UTF-8": (FORM, b"msg=\xe4"),
    "a body that is not UTF-8": (TEXT, b"\xe4"),
    "bytes": ("application/octet-stream", bytes(range(256))),
    "a body in another charset": (f"{TEXT}; charset=iso-8859-1", b"\xe4"),
    "parts without a boundary": ("multipart/form-data", b"msg=it"),
    "parts that are none": ("multipart/form-data; boundary=b", b"msg=it"),
    "parts that are not UTF-8": (
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="msg"\r\n\r\n\xe4\r\n--b--\r\n',
    ),
    **{
        f"parts in {charset}": (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="msg"\r\nContent-Type: text/plain; charset=%b\r\n\r\n%b\r\n--b--\r\n'
            % (charset.encode(), b"a" * 100_000 + b"-" + b"b" * 100_000),  # which takes punycode a minute
        )
        for charset in ("punycode", "idna", "undefined", "rot13", "utf-16")
    },
    "a file that is not UTF-8": (
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="msg"; filename="m"\r\n\r\n\xe4\r\n--b--\r\n',
    ),
}


@pytest.mark.parametrize(("kind", "content"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_message_is_refused_and_nothing_is_kept(client, kind, content):
    answer = client.post("/push", content=content, headers={} if kind is None else {"content-type": kind})
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json"), answer.text
    assert answer.json()["code"] in ("invalid_request", "malformed_json")
    assert answer.json()["detail"]
    assert client.get("/stats").json() == {"queueSize": 0}


def test_a_message_over_the_bound_is_refused(serve):
    server = serve("--max-payload-bytes", "1000")
    with server.client() as client:
        assert client.post("/push", json={"msg": "m" * 998}).status_code == 200  # kept with its two quotes
        answer = client.post("/push", json={"msg": "m" * 999})
        assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
        assert client.post("/push", content=b"m" * (18 << 20), headers={"content-type": TEXT}).status_code == 413
        assert client.get("/stats").json() == {"queueSize": 1}


def test_what_other_doors_put_into_the_queue_is_given_as_it_is(client):
    for options in (
        {"json": {"payload": {"to": [1.50, None]}}},
        {"content": "ein Gruß".encode(), "headers": {"content-type": "text/plain"}},
        {"content": b"\x89PNG\xff", "headers": {"content-type": "image/png"}},
    ):
        assert client.post("/v1/queues/dqid/jobs", **options).status_code == 201
    assert client.get("/get").json() == {"to": [1.50, None]}
    assert client.get("/get").json() == "ein Gruß"
    answer = client.get("/get")
    assert (answer.content, answer.headers["content-type"]) == (b"\x89PNG\xff", "application/octet-stream")
    assert client.get("/get").status_code == 204


def test_a_message_is_a_json_string_to_other_doors(client):
    pushed(client, "ein\nGruß".encode(), "text/plain")
    (job,) = client.post("/v1/leases", json={"queues": ["dqid"]}).json()["jobs"]
    assert job["payload"] == "ein\nGruß"
    assert client.post(f"/v1/leases/{job['lease']['token']}/conclude").status_code == 200


def test_the_same_push_again_under_one_key_is_one_message(client):
    key = {"idempotency-key": "once"}
    first = client.post("/push", json={"msg": "it"}, headers=key)
    again = client.post("/push", data={"msg": "it"}, headers=key)  # the message counts, not the form in which it came
    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()
    other = client.post("/push", json={"msg": "other"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    assert client.get("/stats").json() == {"queueSize": 1}
