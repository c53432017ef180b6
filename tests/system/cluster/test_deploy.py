"""The files under deploy/ are well-formed, have the settings of the tested cluster, and say whether they were run.

What is run of them: tests/system/containers.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from cluster import services
from cluster.patroni import AGREED
from cluster.postgres import server

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.suffix in {".yaml", ".template"})
OURS_TO_CHOOSE = {"ttl", "loop_wait", "retry_timeout", "postgresql"}
SIZES = {"max_slot_wal_keep_size", "shared_buffers", "max_wal_size", "wal_compression"}


def documents(path):
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def test_every_file_says_in_its_first_lines_what_the_tests_do_with_it():
    for path in DEPLOY.rglob("*"):
        if path.is_file() and path.suffix not in {".json", ".md", ".key"} and path.name != "passwords.env":
            assert re.search(r"\btests?\b", "".join(path.read_text().splitlines(keepends=True)[:2])), path


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_is_yaml(path):
    assert documents(path)


def test_compose_has_the_patroni_settings_of_the_tested_cluster():
    (settings,) = documents(DEPLOY / "compose/patroni/patroni.yml.template")
    agreed = settings["bootstrap"]["dcs"]
    for name in AGREED.keys() - OURS_TO_CHOOSE:
        assert agreed[name] == AGREED[name], name
    parameters, tested = agreed["postgresql"]["parameters"], AGREED["postgresql"]["parameters"]
    assert parameters.keys() - SIZES == tested.keys() - SIZES
    for name in tested.keys() - SIZES:
        assert parameters[name] == tested[name], name
    assert agreed["loop_wait"] + 2 * agreed["retry_timeout"] <= agreed["ttl"]
    assert "data-checksums" in settings["bootstrap"]["initdb"]
    assert settings["postgresql"]["basebackup"] == [{"checkpoint": "fast"}], "else a new standby waits for minutes"


def test_the_page_gives_patroni_the_settings_of_the_tested_cluster_and_no_others():
    page = (DEPLOY.parent / "docs/postgresql.md").read_text()
    (block,) = [part.split("```")[0] for part in page.split("```yaml\n")[1:] if part.startswith("# Patroni")]
    said = yaml.safe_load(block)
    assert {name: AGREED.get(name) for name in said} == said


def test_compose_has_the_topology_of_the_tested_cluster():
    (compose,) = documents(DEPLOY / "compose/compose.yaml")
    assert sorted(compose["services"]) == ["etcd1", "etcd2", "etcd3", "h1", "h2", "h3", "haproxy", "pg1", "pg2", "pg3"]
    assert set(compose["volumes"]) == {"etcd1", "etcd2", "etcd3", "pg1", "pg2", "pg3"}
    used = {volume.split(":")[0] for one in compose["services"].values() for volume in one.get("volumes", [])}
    assert set(compose["volumes"]) <= used
    assert "--replicas 1" in compose["services"]["h1"]["command"][0]
    assert compose["services"]["haproxy"]["ports"] == ["127.0.0.1:4660:4660"]


def test_haproxy_accepts_the_file():
    haproxy = shutil.which("haproxy", path=services.SEARCHED)
    if haproxy is None:
        pytest.skip("haproxy is not installed")
    done = subprocess.run(
        [haproxy, "-c", "-f", DEPLOY / "compose/haproxy.cfg"], check=False, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_container_of_holdfast_is_read_only_has_no_rights_and_a_first_key():
    for text in ((DEPLOY / "Dockerfile").read_text(), *(path.read_text() for path in FILES)):
        assert "--insecure" not in text
    (three,), (one,) = documents(DEPLOY / "compose/compose.yaml"), documents(DEPLOY / "compose/one-node.yaml")
    for node in (*(three["services"][name] for name in ("h1", "h2", "h3")), one["services"]["holdfast"]):
        assert (node["read_only"], node["cap_drop"]) == (True, ["ALL"])
        assert node["security_opt"] == ["no-new-privileges:true"]
        assert node["stop_grace_period"] == "45s", "longer than it drains"
        (secret,) = node["secrets"]
        assert node["environment"]["HOLDFAST_ADMIN_KEY_FILE"] == f"/run/secrets/{secret}"
    assert "\n/deploy/compose/admin.key\n" in (DEPLOY.parent / ".gitignore").read_text()


def test_the_script_of_the_first_primary_makes_the_role_and_the_database(tmp_path):
    with server(tmp_path) as one:
        one.sql("DROP DATABASE holdfast")
        one.sql("DROP OWNED BY holdfast")
        one.sql("DROP ROLE holdfast")
        environment = os.environ | {
            "HOLDFAST_PASSWORD": "it's secret",
            "PATH": f"{one.programs.folder}:{os.environ['PATH']}",
        }
        script = DEPLOY / "compose/patroni/create-holdfast"
        subprocess.run(["sh", script, one.url("postgres", "postgres")], check=True, env=environment, timeout=30)
        assert one.value("SELECT current_database()", user="holdfast", database="holdfast") == "holdfast"
        assert one.value("SELECT pg_has_role('holdfast', 'pg_monitor', 'member')")
        assert not one.value("SELECT rolsuper FROM pg_roles WHERE rolname = 'holdfast'")


def test_the_start_script_is_a_shell_script():
    subprocess.run(["sh", "-n", DEPLOY / "compose/patroni/start"], check=True, timeout=10)
