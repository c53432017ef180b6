"""Errors as classes: one for each code, with the fields of the protocol; and what is not Holdfast's is told apart."""

import pickle
import re

import pytest

from holdfast import errors
from holdfast.client import Client, UnexpectedAnswer
from holdfast.client.refusals import refusal
from holdfast.client.retry import Call, Nodes, Retry, RetryState, path
from tests.contract.client.proxy import answer
from tests.system.docs.pages import read, rows


def protocol_codes() -> dict[str, tuple[int, list[str]]]:
    table = read("docs/protocol.md").partition("## Errors")[2].partition("## The job")[0]
    found = [row for row in rows(table) if len(row) == 4 and row[1].isdigit()]
    return {row[0].strip("`"): (int(row[1]), re.findall(r"`(\w+)`", row[3])) for row in found}


def test_every_code_of_the_protocol_has_its_class():
    codes = protocol_codes()
    assert len(codes) > 20
    assert set(codes) <= set(errors.BY_CODE)
    assert len({errors.BY_CODE[code] for code in codes}) == len(codes)


@pytest.mark.parametrize("code", protocol_codes())
def test_a_problem_becomes_its_class_with_its_fields_as_attributes(code):
    status, fields = protocol_codes()[code]
    error = refusal({"code": code, "status": status, "detail": "why", **dict.fromkeys(fields, 7)}, "r-1")
    assert type(error) is errors.BY_CODE[code]
    assert (error.code, error.status, error.detail, str(error), error.request_id) == (code, status, "why", "why", "r-1")
    assert all(getattr(error, field) == 7 for field in fields)
    with pytest.raises(AttributeError):
        error.no_such_field  # noqa: B018


def test_a_code_from_a_newer_server_is_still_an_error_with_its_code():
    error = refusal({"code": "brand_new", "status": 418, "detail": "tea", "pot": 1})
    assert (type(error), error.code, error.status, error.pot) == (errors.HoldfastError, "brand_new", 418, 1)


def test_an_error_survives_being_pickled():
    error = pickle.loads(pickle.dumps(refusal({"code": "queue_full", "status": 429, "detail": "full", "queue": "q"})))
    assert (type(error), error.queue, error.status, str(error)) == (errors.QueueFull, "q", 429, "full")


@pytest.mark.parametrize("status", ["404 Not Found", "413 Too Large", "301 Moved"])
def test_the_page_of_a_proxy_is_an_unexpected_answer(proxy, clients, queue, status):
    proxy.refuse.append(answer(status))
    with pytest.raises(UnexpectedAnswer) as refused:
        clients(proxy.url).enqueue(queue)
    assert refused.value.status == int(status[:3])
    assert "by a proxy" in str(refused.value)


def test_a_good_answer_that_is_no_json_is_an_unexpected_answer(proxy, clients, queue):
    proxy.refuse.append(answer("200 OK"))
    with pytest.raises(UnexpectedAnswer):
        clients(proxy.url).queue(queue)


@pytest.mark.parametrize("url", ["", "localhost:4653", "ftp://x", "http://"])
def test_a_url_that_is_none_is_refused_at_once(url):
    with pytest.raises(ValueError, match="URL"):
        Client(url)


def test_no_error_shows_the_token_of_a_lease():
    """It is logged, and whoever reads it could end the lease."""
    call = Call("POST", path("/v1/leases/{}/conclude", "my-token"))
    with pytest.raises(Retry) as lost:
        RetryState(call, Nodes("http://127.0.0.1:1"), 1.0, None).lost("http://127.0.0.1:1", "gone")
    assert "my-token" not in str(lost.value.final)
    assert "POST /v1/leases/…/conclude may or may not" in str(lost.value.final)
