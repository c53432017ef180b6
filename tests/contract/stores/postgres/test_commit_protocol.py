"""Kept, and known to be: what is answered as done is on as many standbys as were asked for, whatever PostgreSQL says."""

import asyncio
import tempfile
from pathlib import Path

import pytest

from cluster.processes import unprivileged, wait_until
from holdfast.job.job import State
from holdfast.messages.answers import Enqueued
from holdfast.messages.commands import ConcludeLease, LeaseJobs
from holdfast.messages.frame import Refused
from holdfast.messages.queries import GetJob

pytestmark = pytest.mark.long(35)


def code(result) -> str:
    return result.code if isinstance(result, Refused) else type(result).__name__


def kept_on(server) -> int:
    """How many jobs this server has."""
    if not server.value("SELECT count(*) FROM pg_namespace WHERE nspname = 'holdfast'", database="holdfast"):
        return 0
    return server.value("SELECT count(*) FROM holdfast.job", database="holdfast")


async def reached(one):
    """What a put is answered once the database has been reached: on a busy machine the first connection may take its time."""
    async with asyncio.timeout(60):
        while code(result := await one.put()) == "store_unavailable":  # noqa: ASYNC110  (only asking tells)
            await asyncio.sleep(0.05)
        return result


async def keep_one(one, key: str = "first"):
    """Put a job and have it kept: it is one job, however often a busy machine takes longer than its answer may."""
    async with asyncio.timeout(60):
        while not isinstance(answer := await one.put(key=f"{key} of {id(one)}"), Enqueued):
            assert code(answer) in ("store_unavailable", "not_replicated", "outcome_unknown"), answer


async def in_thread(call, *values):
    return await asyncio.to_thread(call, *values)


async def test_a_job_that_is_answered_is_on_a_standby(group, node):
    one = node()
    await one.store.tend()
    assert isinstance(await one.put(), Enqueued)
    await in_thread(group.wait_replayed)
    assert [kept_on(server) for server in group.servers] == [1, 1, 1]
    assert one.store.replication.proofs == 1


@pytest.mark.parametrize("function", ["pg_cancel_backend", "pg_terminate_backend"])
async def test_a_wait_that_somebody_cancels_is_an_unknown_outcome_although_postgresql_calls_it_done(
    group, node, waiting, function
):
    one = node()
    await keep_one(one)
    for standby in group.standbys:
        standby.pause()
    put = one.put()
    (pid,) = await in_thread(waiting)
    await in_thread(group.primary.sql, f"SELECT {function}({pid})")
    assert code(await put) == "outcome_unknown"
    assert kept_on(group.primary) == 2  # it is there, and on no standby: to call it done would have been a lie


async def test_a_wait_that_takes_too_long_is_left_without_a_word_and_goes_on_in_the_server(group, node, waiting):
    one = node()
    await keep_one(one)
    for standby in group.standbys:
        standby.pause()
    put = one.put()
    pids = await in_thread(waiting)
    assert code(await put) == "outcome_unknown"
    assert await in_thread(waiting) == pids  # it was not cancelled: it waits on, and nobody sees its job
    assert kept_on(group.primary) == 1
    for standby in group.standbys:
        standby.resume()
    await in_thread(group.wait_replayed)
    assert kept_on(group.primary) == 2


@pytest.mark.parametrize("waits", [False, True])
async def test_leases_that_nobody_was_told_of_are_given_back_once_it_is_known_that_they_are_there(group, node, waiting, waits):
    one = node()
    await keep_one(one)
    if waits:
        await one.backend.submit(ConcludeLease((await one.backend.submit(LeaseJobs(("q",), 1, "w"))).jobs[0].job.ref()))
        lease = one.backend.await_jobs(LeaseJobs(("q",), 1, "w"))
    for standby in group.standbys:
        standby.pause()
    if waits:
        one.put()
    else:
        lease = one.backend.submit(LeaseJobs(("q",), 1, "w"))
    await in_thread(waiting)
    assert code(await lease) == "outcome_unknown"
    for standby in group.standbys:
        standby.resume()

    async def seen():
        found = await one.backend.submit(GetJob(2 if waits else 1))
        return None if isinstance(found, Refused) else (found.job.attempt, found.job.state)

    async with asyncio.timeout(60):
        while (now := await seen()) != (1, State.READY):
            assert now in (None, (0, State.READY), (1, State.LEASED))
            await asyncio.sleep(0.05)


async def test_a_caller_that_leaves_does_not_cancel_the_commit(group, node, waiting):
    one = node()
    await keep_one(one)
    for standby in group.standbys:
        standby.pause()
    put = one.put()
    await in_thread(waiting)
    put.cancel()
    assert await in_thread(waiting)
    for standby in group.standbys:
        standby.resume()
    await one.backend.committer.settled()
    assert kept_on(group.primary) == 2


async def test_names_emptied_under_a_waiting_commit_release_nobody(group, node, waiting):
    one = node()
    await keep_one(one)
    for standby in group.standbys:
        standby.pause()
    put = one.put()
    await in_thread(waiting)
    await in_thread(group.require, 0)
    assert code(await put) == "outcome_unknown"
    assert code(await one.put()) == "not_replicated"


async def test_with_too_few_standbys_nothing_is_accepted_and_it_recovers_by_itself(group, node):
    one = node(replicas=2)
    await keep_one(one)
    lost = group.standbys[0]
    await in_thread(lost.stop, "immediate")
    try:
        await in_thread(_until_streaming, group, 1)
        refused = await one.put()
        assert (code(refused), refused.fields["in_sync"], refused.fields["needed"]) == ("not_replicated", 1, 2)
        await one.store.tend()
        health = one.store.health()
        assert (health.accepting, health.reason) == (False, "not_replicated")
        assert kept_on(group.primary) == 1
    finally:
        await in_thread(lost.start)
    await in_thread(group.wait_streaming)
    await in_thread(_until_sync, group, 2)
    await keep_one(one, "after it")
    await one.store.tend()
    assert one.store.health().accepting


async def test_a_role_that_does_not_wait_is_made_to(group, node, waiting):
    group.primary.sql("ALTER ROLE holdfast SET synchronous_commit = off")
    one = node()
    await keep_one(one)
    for standby in group.standbys:
        standby.pause()
    put = one.put()
    await in_thread(waiting)
    assert not put.done()
    for standby in group.standbys:
        standby.resume()
    assert isinstance(await put, Enqueued)


async def test_a_repetition_after_an_unknown_outcome_is_answered_only_when_the_job_is_kept(group, node, waiting):
    one = node()
    await keep_one(one)
    for standby in group.standbys:
        standby.pause()
    put = one.put(key="k")
    (pid,) = await in_thread(waiting)
    await in_thread(group.primary.sql, f"SELECT pg_cancel_backend({pid})")
    assert code(await put) == "outcome_unknown"
    again = one.put(key="k")
    await in_thread(waiting)  # it finds the job, and waits for it to be kept
    assert not again.done()
    for standby in group.standbys:
        standby.resume()
    answer = await again
    assert (code(answer), answer.duplicate) == ("Enqueued", True)
    assert kept_on(group.primary) == 2


async def test_without_replicas_the_local_disk_is_what_is_promised_and_said(group, node):
    one = node(replicas=0)
    assert (one.store.durability.level, one.store.durability.replicas) == ("disk", 0)
    await keep_one(one)
    assert node(replicas=2).store.durability.level == "replicated"


async def test_a_star_in_the_names_counts_for_nobody(group, node):
    group.primary.configure(synchronous_standby_names="ANY 1 (*)")
    assert code(await node().put()) == "not_replicated"


async def test_with_fewer_names_than_replicas_nothing_is_accepted(group, node):
    group.primary.configure(synchronous_standby_names=f"ANY 1 ({group.standbys[0].name})")  # whichever are the standbys by now
    refused = await reached(node(replicas=2))
    assert (code(refused), refused.fields["in_sync"], refused.fields["needed"]) == ("not_replicated", 1, 2)
    assert isinstance(await node(replicas=1).put(), Enqueued)


async def test_where_a_commit_waits_for_fewer_than_are_promised_the_proof_waits_for_the_others(group, node):
    one = node(replicas=2)  # and a commit waits for one of two
    await keep_one(one)
    group.standbys[0].pause()
    put = one.put(key="k")
    assert code(await put) == "outcome_unknown"
    assert kept_on(group.primary) == 2  # PostgreSQL was content
    group.standbys[0].resume()
    while code(again := await one.put(key="k")) in ("not_replicated", "outcome_unknown"):  # noqa: ASYNC110
        await asyncio.sleep(0.05)  # it catches up
    assert again.duplicate


@pytest.fixture
def open_folder():
    """A folder that everybody may write to; those of pytest are shut to others."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


async def test_two_that_stream_under_one_name_are_one_copy(group, node, open_folder):
    one = node(replicas=2)  # and a commit waits for one of two
    await keep_one(one)
    copy = open_folder
    receive = [group.primary.programs["pg_receivewal"], "--directory", str(copy), "--synchronous", "--dbname"]
    one_name, other = group.standbys[0].name, group.standbys[1]  # whichever are the standbys by now
    place = f"host=127.0.0.1 port={group.primary.port} user=replicator application_name={one_name}"
    said = copy / "said"
    with said.open("wb") as errors:
        command = (*unprivileged(group.primary.programs.folder, copy), *receive, place)
        twin = await asyncio.create_subprocess_exec(*command, stderr=errors)  # it tries again until it is let in
    try:
        streams = f"SELECT count(*) FROM pg_stat_replication WHERE application_name = '{one_name}' AND state = 'streaming'"
        try:
            await in_thread(wait_until, lambda: group.primary.value(streams) == 2, 60, "the copy does not stream")
        except TimeoutError as error:
            raise AssertionError(f"{error}: {said.read_text()}") from error
        other.pause()
        assert code(await one.put()) == "outcome_unknown"
    finally:
        twin.kill()
        await twin.wait()


async def test_a_primary_that_stops_for_a_while_and_goes_on_keeps_all_that_was_answered_and_holds_nobody_for_ever(
    group, node, waiting
):
    nodes = [node(), node()]
    for one in nodes:
        await keep_one(one)
    for standby in group.standbys:
        standby.pause()
    puts = {"k0": nodes[0].put(key="k0")}
    await in_thread(waiting)
    group.primary.pause()
    for standby in group.standbys:
        standby.resume()
    puts |= {f"k{n}": nodes[n % 2].put(key=f"k{n}") for n in range(1, 40)}
    try:
        assert code(await puts["k0"]) == "outcome_unknown"  # its COMMIT was on its way
    finally:
        group.primary.resume()
    answers = dict(zip(puts, await asyncio.gather(*puts.values()), strict=True))
    kept = {key: answer.jobs[0].id for key, answer in answers.items() if isinstance(answer, Enqueued)}
    for key in puts:
        while not isinstance(answer := await nodes[0].put(key=key), Enqueued):
            assert code(answer) in ("store_unavailable", "not_replicated", "outcome_unknown"), answer
            await asyncio.sleep(0.05)
        assert kept.setdefault(key, answer.jobs[0].id) == answer.jobs[0].id
    assert len(set(kept.values())) == len(puts)
    assert kept_on(group.primary) == len(puts) + len(nodes)


async def test_after_the_primary_is_lost_the_next_one_is_found_and_has_every_answered_job(made_group, group, node):
    one = node()
    for n in range(5):
        await keep_one(one, f"job {n}")
    old = group.primary
    await in_thread(old.kill)
    assert code(await one.put()) in ("store_unavailable", "outcome_unknown")
    await in_thread(lambda: group.promote(group.most_advanced()))
    await in_thread(_until_sync, group, 1)
    assert kept_on(group.primary) == 5
    while code(answer := await one.put()) in ("store_unavailable", "not_replicated"):  # noqa: ASYNC110
        await asyncio.sleep(0.05)  # the pause between two tries to connect is the store's own
    assert isinstance(answer, Enqueued)
    await in_thread(group.recreate, old)
    await in_thread(_take_over, group, old)  # other tests know the standbys by their names


def _take_over(group, server) -> None:
    """Make this standby the primary, and the primary a standby."""
    group.wait_replayed()
    second = group.primary
    second.kill()
    group.promote(server)
    group.recreate(second)


def _until_streaming(group, count: int) -> None:
    wait_until(lambda: len(group.streaming()) == count, 10, f"{count} standbys stream")


def _until_sync(group, count: int) -> None:
    counted = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state <> 'async'"
    wait_until(lambda: group.primary.value(counted) >= count, 10, f"{count} standbys are in sync")
