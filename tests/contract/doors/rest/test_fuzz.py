"""Schemathesis against the served OpenAPI document: whatever it makes up, the answer is one that the document describes, and never a 5xx.

Every operation is called with values that fit its schema and with values that do not, the same ones in every run. Some of the jobs,
queues and tokens that it makes up are replaced by ones that are there, so that more than "not found" is put to the test.

Left out, each for its reason:
  * `/v1/stream` never ends by itself; `test_stream.py` reads it.
  * Long waits are cut to 20 ms: what a wait does is tested in `test_long_polls.py`.
  * What fits the schema may still break a rule that JSON Schema can't say, listed in `UNSAID`; then it may be refused.
  * An entry of a batch is refused in its own outcome, so a batch with a wrong token in it is answered with 200.
"""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.unsupported_method,
]
UNSAID = [
    "got `float`",  # 5.0 is an integer to JSON Schema, but not to us
    "can't be given beside delay_ms",
    "can't be given beside expires_in_ms",
    "can't be given beside after",
    "There is no budget",
    "must be later than the time at which the job is due",
    "must be later than run_at",
    "must be before the job expires",
    "needs a group_key",
    "needs a unique_key",
    "must not hold a NUL character",
    "bytes, names and values together",
    "must be a next_cursor of this API",
    "1 to 1000 entries in all",
    "deeper than 64 levels",
    "twice in this call",
    "9999-12-31",  # a moment that is later than that in UTC
    "Invalid RFC3339",  # a leap second
    "regular expression",  # a string that is no pattern
    "pattern",
    "queue must be given, or publish must be true",
    "needs either cron or interval_ms",
    "cron must have five fields",
    "has no place in a schedule",
    "has no place here: all of these jobs are for the new batch",
    "must name each type once",
    "burst needs a per_ms",
    "filter.state must be given",
    "filter or jobs must be given",
    "filter and jobs can't both be given",
    "can only be given to move",
    "to must name the queue to move to",
    "cursor must be a whole number of at least 0",
    "idempotency_mismatch",  # the same key was made up before
    "no_interest",  # nobody wants the event that was made up
]
BOUNDS = settings(
    max_examples=10,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)


@pytest.fixture(scope="module")
def there(serve):
    """A server of its own with jobs in every state, and their numbers and tokens."""
    api = serve("--max-payload-bytes", "100000")[1]
    jobs = [api.push("there", payload={"n": number})["id"] for number in range(40)]
    held = api.lease("there", max=30)
    for verb, some in (("conclude", held[:4]), ("fail", held[4:8]), ("release", held[8:10])):
        for job in some:
            api.ended(verb, job)
    jobs.append(api.push("there", delay_ms=3_600_000)["id"])
    return api, jobs, [job["lease"]["token"] for job in held]


@pytest.fixture(scope="module")
def described(there):
    """What the server says of itself, but for the access keys: it has none, and so asks for none."""
    document = there[0].get("/openapi.json").json()
    del document["components"]["securitySchemes"]
    for item in document["paths"].values():
        for operation in item.values():
            del operation["security"]
    made = schemathesis.openapi.from_dict(document)
    made.config.update(base_url=there[0].url)
    return made


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_whatever_is_asked_the_answer_is_one_that_is_described(described, there, subtests, mode):
    tried = 0
    for found in described.get_all_operations():
        operation = found.ok()
        nothing_to_spoil = mode is GenerationMode.NEGATIVE and not operation.body and not list(operation.iter_parameters())
        if operation.path == "/v1/stream" or nothing_to_spoil:
            continue
        with subtests.test(operation=operation.label):
            ask(operation, mode, there)
            tried += 1
    assert tried > 20
    assert there[0].get("/readyz").status_code == 200


def ask(operation, mode, there):
    """Make calls up, and check every answer."""

    @BOUNDS
    @given(case=operation.as_strategy(generation_mode=mode))
    def one(case):
        make_real(case, *there[1:])
        response = case.call()
        case.validate_response(response, checks=CHECKS)
        unsaid = response.status_code in (400, 422) and any(rule in response.text for rule in UNSAID)
        if mode is GenerationMode.POSITIVE and not unsaid:
            case.validate_response(response, checks=[checks.positive_data_acceptance])
        if mode is GenerationMode.NEGATIVE and operation.path != "/v1/leases/batch":
            case.validate_response(response, checks=[checks.negative_data_rejection])

    one()


def make_real(case, jobs, tokens):
    """Cut long waits, and put what is there in the place of some of what was made up."""
    path = case.path_parameters or {}
    if isinstance(number := path.get("job_id"), int) and number % 3:
        path["job_id"] = jobs[number % len(jobs)]
    if isinstance(token := path.get("token"), str) and len(token) % 2:
        path["token"] = tokens[len(token) % len(tokens)]
    if isinstance(name := path.get("queue"), str) and len(name) % 3 == 1:
        path["queue"] = "there"
    for values in (case.query, case.body):
        if isinstance(values, dict) and isinstance(wait_ms := values.get("wait_ms"), int) and 20 < wait_ms <= 55_000:
            values["wait_ms"] = 20
