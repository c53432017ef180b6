"""`holdfast budget`, budgets of a pushed job, and budgets in an export."""

import json

from click.testing import CliRunner

from holdfast.cli.entry import main
from tests.system.whole.calls import push


def test_budgets_are_set_shown_blocked_and_deleted(holdfast, queue, witness):
    made = holdfast("budget", "set", queue, 100, "--per", "1m", "--burst", 10, "--json")
    assert json.loads(made.stdout)["left"] == 10
    job = holdfast("job", "push", queue, "--budget", f"{queue}/tenant-7=3").stdout.strip()
    assert [(one.name, one.key, one.cost) for one in witness.job(int(job)).budgets] == [(queue, "tenant-7", 3)]
    (line,) = [line for line in holdfast("budget", "list").stdout.splitlines() if line.startswith(queue + " ")]
    assert "100 per 1m, burst 10" in line
    assert json.loads(holdfast("budget", "show", queue, "--key", "tenant-7", "--json").stdout)["some"][0]["jobs"] == 1
    assert holdfast("budget", "block", queue, "--for", "10m").stdout == f"{queue} is blocked for 10m\n"
    assert witness.lease(queue) == []
    assert holdfast("budget", "block", queue, "--key", "tenant-7").stdout == f"{queue}/tenant-7 is blocked for 1h\n"
    still = holdfast("budget", "unblock", queue, "--key", "tenant-7").stdout
    assert still.startswith(f"{queue}/tenant-7 has no block of its own any more; all of {queue} is blocked until 2")
    assert holdfast("budget", "unblock", queue).stdout == f"{queue} is not blocked any more\n"
    assert holdfast("budget", "unblock", queue, "--key", "tenant-7").stdout == f"{queue}/tenant-7 is not blocked any more\n"
    assert "would delete the budget" in holdfast("budget", "delete", queue, "--dry-run").stderr
    assert "[budget_in_use]" in holdfast("budget", "delete", queue, "--yes").stderr
    assert holdfast("budget", "delete", queue, "--force", "--yes").returncode == 0
    assert holdfast("job", "push", queue, "--budget", "=3").returncode == 2


def test_budgets_and_what_jobs_name_are_exported_and_imported(serve, tmp_path):
    server = serve()
    with server.client() as client:
        client.put("/v1/budgets/one", json={"limit": 1})
        client.put("/v1/budgets/rate", json={"limit": 5, "per_ms": 1_000, "burst": 2})
        for n in range(3):
            push(client, "q", n, budgets=[{"name": "one", "key": "k"}])
    server.kill_all()
    server.gone()
    exported = CliRunner().invoke(main, ["export", "--store", f"sqlite:///{server.home}/holdfast-data/jobs.db"])
    assert exported.exit_code == 0, exported.output
    target = tmp_path / "target.db"
    (tmp_path / "all.ndjson").write_bytes(exported.stdout_bytes)
    imported = CliRunner().invoke(main, ["import", "--store", f"sqlite:///{target}", f"{tmp_path}/all.ndjson"])
    assert imported.exit_code == 0, imported.output
    assert CliRunner().invoke(main, ["check", "--store", f"sqlite:///{target}"]).exit_code == 0
    with serve("--store", f"sqlite:///{target}", at=tmp_path / "other").client() as client:
        assert [one["name"] for one in client.get("/v1/budgets").json()["budgets"]] == ["one", "rate"]
        assert client.get("/v1/budgets/one").json()["waiting"] == 2
        assert len(client.post("/v1/leases", json={"queues": ["q"], "max": 5}).json()["jobs"]) == 1
