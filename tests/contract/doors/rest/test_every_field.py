"""Every field and parameter that the OpenAPI document names, with values that it can't have: refused with 400, the field and the bound, never a defect.

The document lists all routes, so a route or a field that is new is covered without a line here.
"""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

METHODS = ("get", "post", "put", "patch", "delete")
NOT_NUMBERS = ['"1"', '"x"', "true", "[]", "{}", '""', '"1e1"', '"٣"']
NOT_WHOLE = ["0.5", "1.5e0", "1e-7", "1e400", "-1e400", "1.7976931348623157e308"]
HUGE = [str((1 << bits) + shift) for bits in (63, 64, 65, 127, 200) for shift in (-1, 0, 1)] + ["9" * 400, "9" * 5_000]
TOO_SMALL = ["-1", "-9223372036854775808", "-9223372036854775809", "-18446744073709551616", "-" + "9" * 5_000]
LOOSE = [
    "1_0",
    "+1",
    "٣",
    "１",
    "²",
    "1e1",
    "1.0",
    " 1",
    "1 ",
    "01",
    "007",
    "0x1",
    "0b1",
    "",
    "-1",
    "-0",
    "true",
    "NaN",
    "Infinity",
    "1,0",
    "\t1",
    "1\n",
]
TELLS_A_BOUND = re.compile(r"\d|must not be empty|at least one|at most once|the same entry twice")
LOOSE_IN_PATH = ["1_0", "+1", "٣", "１", "1e1", "1.0", " 1", "1 ", "01", "007", "0x1", "\0", "1\n", "\t1", "-1", "-0", "0"]


@pytest.fixture(scope="module")
def document(api):
    """The description of all routes."""
    return api.get("/openapi.json").json()


@pytest.fixture(scope="module")
def names(api):
    """What paths name below: a queue that is there, and a lease that is held."""
    api.set("1")
    api.push("every-field")
    return {"token": api.take("every-field")["lease"]["token"]}


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def choices(document: dict[str, Any], schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The schemas that a value may have, `null` among them."""
    schema = resolved(document, schema)
    return [one for key in ("anyOf", "oneOf") for inner in schema.get(key, ()) for one in choices(document, inner)] or [schema]


def fields(
    document: dict[str, Any], schema: dict[str, Any], path: tuple[Any, ...] = ()
) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Every field in a body, with the way to it."""
    for choice in choices(document, schema):
        for name, inner in choice.get("properties", {}).items():
            yield (*path, name), inner
            yield from fields(document, inner, (*path, name))
        if isinstance(choice.get("items"), dict):
            yield (*path, 0), choice["items"]
            yield from fields(document, choice["items"], (*path, 0))


def least(document: dict[str, Any], schema: dict[str, Any]) -> Any:
    """The smallest value that is taken."""
    schema = choices(document, schema)[0]
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            return {name: least(document, schema["properties"][name]) for name in schema.get("required", ())}
        case "array":
            return [least(document, schema["items"])] * schema.get("minItems", 0)
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return False
        case "string":
            if schema.get("format") == "date-time":
                return "2026-11-22T23:15:00Z"
            return "1.1.1.00" if schema.get("maxLength") == 100 else "a"
    return {}


def filled(document: dict[str, Any], schema: dict[str, Any], path: tuple[Any, ...], value: str) -> str:
    """The smallest body with this JSON text at one place."""

    def put(inner: dict[str, Any], way: tuple[Any, ...]) -> Any:
        if not way:
            return "\0here"
        for choice in choices(document, inner):
            if isinstance(way[0], str) and way[0] in choice.get("properties", {}):
                return (least(document, choice) or {}) | {way[0]: put(choice["properties"][way[0]], way[1:])}
            if way[0] == 0 and isinstance(choice.get("items"), dict):
                return [put(choice["items"], way[1:])]
        raise AssertionError(way)

    body = put(schema, path)
    if "timezone" in choices(document, schema)[0].get("properties", {}):
        body |= {"queue": "a"}  # a schedule needs a target, which the document can't say
    return json.dumps(body).replace(json.dumps("\0here"), value)


def routes(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, verbs in document["paths"].items():
        for method, route in verbs.items():
            if method in METHODS and not path.startswith("/v1/channel"):
                yield method.upper(), path, route


def body_of(route: dict[str, Any]) -> dict[str, Any] | None:
    content = route.get("requestBody", {}).get("content", {})
    return content["application/json"]["schema"] if "application/json" in content else None


def numbers(document: dict[str, Any], schema: dict[str, Any]) -> set[str]:
    return {choice.get("type") for choice in choices(document, schema)} & {"integer", "number"}


def at(path: str, names: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)[^}]*\}", lambda found: names.get(found[1], "1"), path)


def places(
    document: dict[str, Any], names: dict[str, str]
) -> list[tuple[str, str, dict[str, Any], tuple[Any, ...], dict[str, Any]]]:
    """Every number in every body: route, body, and the way to it."""
    found = []
    for method, path, route in routes(document):
        schema = body_of(route)
        for way, inner in fields(document, schema) if schema is not None else ():
            if numbers(document, inner):
                found.append((method, at(path, names), schema, way, inner))
    return found


def named(way: tuple[Any, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in way).lstrip(".")


def judge(response: Any, status: int, field: str | None, told: Any) -> None:
    assert response.status_code == status, (told, response.status_code, response.text)
    problem = response.json()
    assert problem["code"] == "invalid_request", (told, response.text)
    assert problem["detail"], told
    if field is not None:
        assert problem["field"] == field, (told, response.text)


def test_every_number_in_a_body_refuses_what_is_no_such_number_and_names_its_field(api, document, names):
    found = places(document, names)
    assert len(found) > 60, "the document lists the fields"
    for method, path, schema, way, inner in found:
        whole = numbers(document, inner) == {"integer"}
        bad = [*NOT_NUMBERS, *TOO_SMALL, *HUGE, *(NOT_WHOLE if whole else ["1e400", "-1e400", "1.7976931348623157e308"])]
        for value in bad:
            body = filled(document, schema, way, value)
            response = api.request(method, path, content=body.encode(), headers={"content-type": "application/json"})
            judge(response, 400, named(way), (method, path, way, value[:60]))


def test_every_number_in_a_body_is_held_to_the_bounds_that_the_document_tells(api, document, names):
    for method, path, schema, way, inner in places(document, names):
        for choice in choices(document, inner):
            for bound, past in (("minimum", -1), ("maximum", 1)):
                if bound not in choice or choice.get("type") not in ("integer", "number"):
                    continue
                body = filled(document, schema, way, str(choice[bound] + past))
                response = api.request(method, path, content=body.encode(), headers={"content-type": "application/json"})
                judge(response, 400, named(way), (method, path, way, bound))
                detail = response.json()["detail"]
                assert re.search(r"\d", detail) or "has no place in a schedule" in detail, response.text


def test_every_list_and_text_in_a_body_is_held_to_the_bounds_that_the_document_tells(api, document, names):
    count, wrong = 0, []
    for method, path, route in routes(document):
        schema = body_of(route)
        for way, inner in fields(document, schema) if schema is not None else ():
            for value in beyond(document, inner):
                count += 1
                body = filled(document, schema, way, json.dumps(value))
                response = api.request(
                    method, at(path, names), content=body.encode(), headers={"content-type": "application/json"}
                )
                problem = response.json() if response.status_code in (400, 413) else {}
                names_it = problem.get("field") in (named(way), "batch") and TELLS_A_BOUND.search(problem["detail"])
                if not names_it and not is_elsewhere(path, way):
                    wrong.append((method, path, named(way), response.status_code, response.text[:300]))
    assert not wrong, "\n".join(map(str, wrong))
    assert count > 60, "the document lists the bounds"


def is_elsewhere(path: str, way: tuple[Any, ...]) -> bool:
    """What is answered for otherwise: each lease of a batch in its own outcome, and a schedule without a time before all else."""
    return (path == "/v1/leases/batch" and way[-1] == "token") or (path, way) == ("/v1/schedules/{name}", ("queue",))


def beyond(document: dict[str, Any], schema: dict[str, Any]) -> Iterator[Any]:
    """Lists and texts that are one too long, or one too short."""
    for choice in choices(document, schema):
        for bound, past in (("minItems", -1), ("maxItems", 1)):
            if choice.get("type") == "array" and choice.get(bound):
                yield [least(document, choice["items"])] * (choice[bound] + past)
        for bound, past in (("minLength", -1), ("maxLength", 1)):
            if choice.get("type") == "string" and choice.get(bound):
                yield "a" * (choice[bound] + past)


def test_every_number_in_a_query_is_digits_and_nothing_else(api, document, names):
    count = 0
    for method, path, route in routes(document):
        for parameter in route.get("parameters", ()):
            if parameter["in"] != "query" or not numbers(document, parameter["schema"]):
                continue
            count += 1
            for value in [*LOOSE, *HUGE, *TOO_SMALL]:
                asked = {"json": {}} if method != "GET" else {}
                response = api.request(method, at(path, names), params={parameter["name"]: value}, **asked)
                judge(response, 400, parameter["name"], (method, path, parameter["name"], value[:40]))
    assert count >= 5


@pytest.mark.parametrize("name", ["priority", "delay_ms", "max_attempts", "lease_ms", "group_limit", "wait_ms", "run_at"])
def test_options_of_a_raw_job_are_as_strict(api, queue, name):
    dates = ["1", "1.5", "1e9", "2026-01-01", "now", "2026-01-01T00:00:00"] if name == "run_at" else []
    for value in [*LOOSE, *HUGE, *TOO_SMALL, *dates]:
        extra = {"group_key": "g"} if name == "group_limit" else {}
        response = api.post(
            f"/v1/queues/{queue}/jobs", content=b"x", headers={"content-type": "text/plain"}, params={name: value, **extra}
        )
        judge(response, 400, name, (name, value[:40]))
    assert api.get(f"/v1/queues/{queue}").status_code == 404


def test_a_number_in_a_path_is_digits_and_nothing_else(api, document, queue):
    """None of these writings is another job's number: the job 10, 1, 3 and 7 are left alone."""
    before = {job["id"]: job for job in (api.push(queue, delay_ms=600_000) for _ in range(12))}
    counts = api.counts(queue)
    count = 0
    for method, path, route in routes(document):
        for parameter in route.get("parameters", ()):
            if parameter["in"] != "path" or not numbers(document, parameter["schema"]):
                continue
            count += 1
            some = str(min(before))
            written = [
                *LOOSE_IN_PATH,
                f"0{some}",
                f"+{some}",
                f" {some}",
                f"{some}.0",
                f"{some[0]}_{some[1:] or '0'}",
                some.translate(str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")),
            ]
            for value in [*written, "9" * 400, str(1 << 53), str(1 << 64)]:
                asked = {"json": {}} if method in ("POST", "PATCH", "PUT") else {}
                target = path.replace("{" + parameter["name"] + "}", quote(value, safe=""))
                response = api.request(method, target, **asked)
                assert response.status_code in (400, 404), (method, path, value, response.text)
                assert response.json()["code"] in ("invalid_request", "not_found", "job_not_found"), (
                    method,
                    path,
                    value,
                    response.text,
                )
                assert response.json().get("job_id") is None, (method, path, value, response.text)
    assert count >= 8
    assert api.counts(queue) == counts


@pytest.mark.parametrize("part", range(3))
@pytest.mark.parametrize(
    "change",
    [
        lambda n: "0" + n,
        lambda n: "+" + n,
        lambda n: n[0] + "_" + n[1:] if len(n) > 1 else "0_" + n,
        lambda n: " " + n,
        lambda n: n + ".0",
        lambda n: n.translate(str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")),
    ],
)
def test_a_token_is_read_to_the_letter(api, queue, part, change):
    api.push(queue)
    held = api.take(queue)
    parts = held["lease"]["token"].split(".")
    wrong = ".".join([*parts[:part], change(parts[part]), *parts[part + 1 :]])
    api.refused(api.end("conclude", wrong), 409, "lease_lost")
    for secret in (parts[3].upper() + "a", " " + parts[3], parts[3][:2] + " " + parts[3][2:], "0x" + parts[3]):
        api.refused(api.end("conclude", ".".join([*parts[:3], secret])), 409, "lease_lost")
    api.ended("conclude", held)
