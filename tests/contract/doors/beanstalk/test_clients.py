"""Client libraries as their users have them, each at Holdfast and at Debian's beanstalkd."""

import os
import shutil
import subprocess
from pathlib import Path

import greenstalk
import pystalk
import pytest

from tests.missing import missing

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "holdfast-tests" / "jackd-2.2.2"
JACKD = "jackd@2.2.2"


def test_greenstalk(port, tube):
    with greenstalk.Client(("127.0.0.1", port), use=tube, watch=tube) as client:
        first = client.put("hello", priority=7)
        delayed = client.put("later", delay=60)
        assert client.peek(first).body == "hello"
        job = client.reserve()
        assert (job.id, job.body) == (first, "hello")
        client.touch(job)
        client.release(job, priority=3)
        assert client.stats_job(first)["pri"] == 3
        client.bury(client.reserve(timeout=1))
        assert client.peek_buried().id == first
        assert client.kick(5) == 1
        client.kick_job(delayed)
        assert client.stats_tube(tube)["current-jobs-ready"] == 2
        client.delete(client.reserve_job(delayed))
        client.delete(client.reserve())
        with pytest.raises(greenstalk.TimedOutError):
            client.reserve(timeout=0)
        with pytest.raises(greenstalk.NotFoundError):
            client.delete(first)
        with pytest.raises(greenstalk.JobTooBigError):
            client.put(b"x" * 1_048_577)
        client.pause_tube(tube, 1)
        assert tube in client.tubes()
        assert client.stats()["total-jobs"] >= 2
        assert client.using() == tube
        assert client.watching() == [tube]
        with pytest.raises(greenstalk.NotIgnoredError):
            client.ignore(tube)


def test_greenstalk_is_told_that_it_must_hurry(port, tube):
    with greenstalk.Client(("127.0.0.1", port), use=tube, watch=tube) as client:
        client.put("x", ttr=1)
        job = client.reserve()
        with pytest.raises(greenstalk.DeadlineSoonError):
            client.reserve()
        client.delete(job)


def test_pystalk(port, tube):
    client = pystalk.BeanstalkClient("127.0.0.1", port, auto_decode=True)
    client.use(tube)
    client.watch(tube)
    _, job_id = client.put_job("hello", pri=5, ttr=30)
    client.put_job_into(f"{tube}/other", "elsewhere")
    assert client.stats_job(job_id)["ttr"] == 30
    assert set(client.list_tubes()) >= {"default", tube, f"{tube}/other"}
    job = client.reserve_job(timeout=2)
    assert (job.job_id, job.job_data) == (job_id, "hello")
    client.bury_job(job_id)
    assert client.peek_buried().job_id == job_id
    client.kick_jobs(1)
    [again] = client.reserve_iter()
    client.release_job(again.job_id, delay=0)
    assert client.stats_job(job_id)["releases"] == 1
    client.delete_job(job_id)
    with pytest.raises(pystalk.BeanstalkError):
        client.delete_job(job_id)
    client.close()


SCRIPT = """
const Jackd = require('jackd').default || require('jackd')
const [port, tube] = process.argv.slice(1)
const check = (what, is) => { if (!is) throw new Error('not so: ' + what) }
;(async () => {
  const client = new Jackd()
  await client.connect({ host: '127.0.0.1', port: Number(port) })
  await client.use(tube); await client.watch(tube); await client.ignore('default')
  const ids = await Promise.all([1, 2, 3].map(n => client.put('job ' + n, { priority: n, ttr: 30 })))
  check('three ids', new Set(ids).size === 3)
  const job = await client.reserve()
  check('the first', job.id === ids[0] && job.payload.toString() === 'job 1')
  await client.touch(job.id)
  await client.release(job.id, { priority: 9, delay: 0 })
  const second = await client.reserveWithTimeout(1)
  check('the second', second.id === ids[1])
  await client.bury(second.id)
  await client.kick(1)
  for (let n = 0; n < 3; n++) await client.delete((await client.reserveWithTimeout(1)).id)
  let said = ''
  try { await client.reserveWithTimeout(0) } catch (error) { said = String(error.message || error) }
  check('timed out: ' + said, said.includes('TIMED_OUT'))
  const big = 'ü'.repeat(100000)
  await client.put(big)
  check('a large body', (await client.reserve()).payload.toString() === big)
  await client.quit()
  console.log('all well')
})().catch(error => { console.error(error); process.exit(1) })
"""


@pytest.fixture(scope="session")
def jackd() -> Path:
    """A folder with jackd installed in it; kept for the next run."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        missing("npm", "apt install npm nodejs")
    if not (CACHE / "node_modules" / "jackd").is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(CACHE), JACKD],
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        if done.returncode:
            missing(JACKD, done.stderr[-500:])
    return CACHE


def test_jackd_on_node(port, tube, jackd):
    command = ["node", "-e", SCRIPT, str(port), tube]
    done = subprocess.run(command, check=False, cwd=jackd, capture_output=True, text=True, timeout=30)
    assert done.stdout == "all well\n", done.stderr
