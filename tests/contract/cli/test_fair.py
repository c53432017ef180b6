"""`holdfast queue fair`, fair keys of a pushed job, and fair shares in an export."""

import json

from click.testing import CliRunner

from holdfast.cli.entry import main
from tests.system.whole.calls import push


def test_weights_are_set_listed_and_unset(holdfast, queue, witness):
    holdfast("queue", "set", queue, "fair=true")
    job = holdfast("job", "push", queue, "--fair-key", "tenant-7", "--fair-cost", "3").stdout.strip()
    shown = witness.job(int(job))
    assert (shown.fair_key, shown.fair_cost) == ("tenant-7", 3)
    holdfast("job", "push", queue)
    assert holdfast("queue", "fair", "set", queue, "tenant-7", "3").stdout == f"tenant-7 has weight 3 in {queue}\n"
    lines = holdfast("queue", "fair", "list", queue).stdout.splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["(none)", "1", "0", "1", "25.0", "%"],
        ["tenant-7", "1", "0", "3", "75.0", "%"],
    ]
    assert len(holdfast("queue", "fair", "list", queue, "--all", "--json").stdout.splitlines()) >= 1
    assert holdfast("queue", "fair", "unset", queue, "tenant-7").returncode == 0
    assert witness.share(queue, "tenant-7").weight == 1
    assert holdfast("queue", "fair", "set", queue, "", "2").stdout == f"(none) has weight 2 in {queue}\n"
    assert holdfast("queue", "fair", "list", queue).stdout.splitlines()[1].split()[:4] == ["(none)", "1", "0", "2"]
    assert holdfast("queue", "fair", "unset", queue, "").returncode == 0
    assert holdfast("queue", "fair", "list", queue).stdout.splitlines()[1].split()[3] == "1"


def test_fair_queues_are_exported_and_imported(serve, tmp_path):
    server = serve()
    with server.client() as client:
        client.put("/v1/queues/q", json={"fair": True})
        client.put("/v1/queues/q/fair/b", json={"weight": 2})
        for n, key in enumerate("aaabbb"):
            push(client, "q", n, fair_key=key)
    server.kill_all()
    server.gone()
    exported = CliRunner().invoke(main, ["export", "--store", f"sqlite:///{server.home}/holdfast-data/jobs.db"])
    assert exported.exit_code == 0, exported.output
    target = tmp_path / "target.db"
    (tmp_path / "all.ndjson").write_bytes(exported.stdout_bytes)
    imported = CliRunner().invoke(main, ["import", str(tmp_path / "all.ndjson"), "--store", f"sqlite:///{target}"])
    assert imported.exit_code == 0, imported.output
    checked = CliRunner().invoke(main, ["check", "--store", f"sqlite:///{target}"])
    assert checked.exit_code == 0, checked.output
    assert json.loads(exported.stdout_bytes.splitlines()[1])["queue"]["fair_weights"] == {"b": 2}
