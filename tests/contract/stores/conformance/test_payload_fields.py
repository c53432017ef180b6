"""Jobs by a value in their payload: the same ones in listings, counts, batches and operations, whatever the payload is."""

import pytest

from holdfast.job.job import State
from holdfast.job.operation import Do
from holdfast.limits import FIELD_PAYLOAD_BYTES
from holdfast.messages.job_batches import MakeJobBatch
from holdfast.messages.queries import CountJobs, ListJobs
from tests.contract.stores.conformance.conftest import StoreClient, new
from tests.contract.stores.conformance.test_operations import operation, run, start

PAYLOADS = [
    b'{"user": {"id": 42, "name": "ada \\"the\\" first"}}',
    b'{"user": {"id": "42"}, "user id": 1.50, "big": 12345678901234567890123}',
    b'{"items": [{"id": 1}, {"id": 2}], "done": true, "left": null, "note": ""}',
    b'{"items": {"0": {"id": 1}}, "done": false}',
    b' { "\\u00fcber" : "\\u00e4\\n" , "zero": "a\\u0000b", "q\\"\\\\": 7 } ',
    b"[[1, [2, 3]], {}]",
    b'"user"',
    b"42",
    b"null",
    b"{}",
]
FOUND = [
    ("user.id", "42", [0, 1]),
    ("user.id", "4", []),
    ("user.id", "42.0", []),
    ("user.name", 'ada "the" first', [0]),
    ("user", "42", []),
    ("user id", "1.50", [1]),
    ("user id", "1.5", []),
    ("big", "12345678901234567890123", [1]),
    ("items.0.id", "1", [2, 3]),
    ("items.1.id", "2", [2]),
    ("items.2.id", "2", []),
    ("items.-1.id", "2", []),
    ("items.+1.id", "2", []),
    ("items. 1.id", "2", []),
    ("items.9999999999.id", "2", []),
    ("items.999999999.id", "2", []),
    ("items", '[{"id": 1}, {"id": 2}]', []),
    ("done", "true", [2]),
    ("done", "1", []),
    ("left", "null", [2]),
    ("left", "", []),
    ("note", "", [2]),
    ("über", "ä\n", [4]),
    ('q"\\', "7", [4]),
    ("0.1.1", "3", [5]),
    ("1", "{}", []),
    ("none", "null", []),
    ("$", "42", []),
]


@pytest.mark.parametrize(("path", "value", "places"), FOUND)
async def test_jobs_are_found_by_a_value_at_a_path_of_their_payload(client: StoreClient, path, value, places):
    receipts = await client.put_all([new("q", payload=payload) for payload in PAYLOADS])
    await client.put_all([new("q", payload=PAYLOADS[0], content_type="text/plain")])
    wanted = [receipts[place].id for place in places]
    field = ((path, value),)
    assert [job.id for job in await client.walk(100, queue="q", field=field)] == wanted
    assert (await client.ask(CountJobs("q", field=field))).counts["ready"] == len(wanted)


async def test_all_that_is_named_has_to_be_there(client: StoreClient):
    receipts = await client.put_all([new("q", payload=payload) for payload in PAYLOADS])
    await client.put("q", payload=b'{"done": true, "left": 1}')
    both = (("done", "true"), ("items.1.id", "2"))
    assert [job.id for job in await client.walk(100, field=both)] == [receipts[2].id]
    assert [job.id for job in await client.walk(100, field=both, text="nothing")] == []


async def test_a_large_payload_is_not_looked_into(client: StoreClient):
    room = FIELD_PAYLOAD_BYTES - len(b'{"a": 1, "b": ""}')
    fits = await client.put("q", payload=b'{"a": 1, "b": "%s"}' % (b"x" * room))
    await client.put("q", payload=b'{"a": 1, "b": "%s"}' % (b"x" * (room + 1)))
    assert [job.id for job in await client.walk(100, field=(("a", "1"),))] == [fits.id]


async def test_an_operation_and_a_batch_are_narrowed_by_it(client: StoreClient):
    one, other = await client.put_all([new("q", payload=b'{"order": %d}' % number) for number in (7, 8)])
    begun = await start(client, Do.CANCEL, field=(("order", "7"),))
    await run(client)
    assert (await operation(client, begun.id)).done == 1
    assert [await client.state(receipt.id) for receipt in (one, other)] == [State.CANCELLED, State.READY]
    batch = await client.do(MakeJobBatch([new("q", payload=b'{"order": 8}'), new("q", payload=b'{"order": 9}')]))
    page = await client.ask(ListJobs(10, batch=batch.id, field=(("order", "8"),)))
    assert [detail.job.id for detail in page.jobs] == [batch.jobs[0].id]
