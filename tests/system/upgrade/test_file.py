"""A store file that the last release served: the newer version serves it, with its leases; afterwards the release refuses it, by name."""

import signal
import subprocess
import sys

import pytest

from holdfast import __version__
from tests.system.upgrade.released import environment, next_version
from tests.system.whole.calls import conclude, lease, push


@pytest.mark.parametrize("more", [False, True], ids=["this version", "this version with a step more"])
def test_a_file_goes_from_the_release_to_this_version_and_not_back(released, more, serve, serving, home, tmp_path):
    env = next_version(tmp_path / "next") if more else {}
    old = serve(env=released.env)
    with old.client() as client:
        jobs = [push(client, "mail", number) for number in range(50)]
        leased = lease(client, "mail", max=5, lease_ms=600_000)
    old.kill_all()
    old.gone()
    new = serve(env=env)
    with new.client() as client:
        assert [conclude(client, job).status_code for job in leased] == [200] * 5
        assert len(lease(client, "mail", max=100)) == 45
        assert {client.get(f"/v1/jobs/{job['id']}").json()["payload"] for job in jobs} == set(range(50))
    new.send(signal.SIGTERM)
    new.gone()
    sound = subprocess.run(
        [sys.executable, "-m", "holdfast", "check", "holdfast-data/jobs.db"],
        cwd=home,
        env=environment(env),
        check=False,
        capture_output=True,
    )
    assert sound.returncode == 0, sound.stderr
    again = serving(env=released.env).launch()
    if more:
        said = again.err.wait_for("which Holdfast")
        assert f", which Holdfast {__version__} made. This is Holdfast {released.release.version}, which knows up to " in said
        assert "To go back, have that one write it out (`holdfast export`)" in said
        assert again.ended() == 1
