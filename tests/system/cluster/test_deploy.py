"""The files under deploy/ are not run here, but they are well-formed, and have the settings of the tested cluster."""

import os
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


def kinds(folder):
    found = [document for path in sorted((DEPLOY / folder).glob("*.yaml")) for document in documents(path)]
    return {document["kind"]: document for document in found}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_is_yaml(path):
    assert documents(path)


def test_who_deploys_is_told_that_nothing_of_it_was_run():
    for path in (
        DEPLOY / "compose/compose.yaml",
        *(DEPLOY / "kubernetes").glob("*.yaml"),
        DEPLOY / "compose/patroni/Dockerfile",
    ):
        if path.name != "namespace.yaml":
            assert (
                "ot run in the project's own tests" in path.read_text() or "Not built in the project's" in path.read_text()
            ), path
    assert "tests do not run these files" in (DEPLOY / "README.md").read_text()


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


def test_the_page_gives_patroni_the_settings_of_the_tested_cluster_and_no_others():
    page = (DEPLOY.parent / "docs/postgresql.md").read_text()
    (block,) = [part.split("```")[0] for part in page.split("```yaml\n")[1:] if part.startswith("# Patroni")]
    said = yaml.safe_load(block)
    assert {name: AGREED.get(name) for name in said} == said


def test_commands_for_kubernetes_name_the_namespace():
    (namespace,) = documents(DEPLOY / "kubernetes/namespace.yaml")
    looks = [
        line
        for line in (DEPLOY / "README.md").read_text().splitlines()
        if line.startswith("$ kubectl") and "--kustomize" not in line and "namespace.yaml" not in line
    ]
    assert looks
    assert all(f"--namespace {namespace['metadata']['name']}" in line for line in looks)


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


def test_kubernetes_waits_for_as_many_standbys_as_holdfast_proves():
    found = kinds("kubernetes")
    synchronous = found["Cluster"]["spec"]["postgresql"]["synchronous"]
    assert synchronous == {"method": "any", "number": 1, "dataDurability": "required", "failoverQuorum": True}
    assert "GRANT pg_monitor TO holdfast" in found["Cluster"]["spec"]["bootstrap"]["initdb"]["postInitApplicationSQL"]
    pod = found["Deployment"]["spec"]["template"]["spec"]
    environment = {entry["name"]: entry for entry in pod["containers"][0]["env"]}
    assert int(environment["HOLDFAST_REPLICAS"]["value"]) == synchronous["number"]
    assert environment["HOLDFAST_STORE"]["valueFrom"]["secretKeyRef"] == {
        "name": f"{found['Cluster']['metadata']['name']}-app",
        "key": "uri",
    }
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert found["Service"]["spec"]["selector"] == found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert set(found["Kustomization"]["resources"]) | {"kustomization.yaml"} == {
        path.name for path in (DEPLOY / "kubernetes").glob("*.yaml")
    }


def test_every_container_of_holdfast_is_read_only_has_no_rights_and_a_first_key():
    image = (DEPLOY / "Dockerfile").read_text()
    assert "\nUSER 10001\n" in image
    for text in (image, *(path.read_text() for path in FILES)):
        assert "--insecure" not in text
    node = documents(DEPLOY / "compose/compose.yaml")[0]["services"]["h1"]
    assert (node["read_only"], node["cap_drop"]) == (True, ["ALL"])
    assert node["security_opt"] == ["no-new-privileges:true"]
    (secret,) = node["secrets"]
    assert node["environment"]["HOLDFAST_ADMIN_KEY_FILE"] == f"/run/secrets/{secret}"
    assert "\n/deploy/compose/admin.key\n" in (DEPLOY.parent / ".gitignore").read_text()
    pod = kinds("kubernetes")["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    (file,) = [entry["value"] for entry in container["env"] if entry["name"] == "HOLDFAST_ADMIN_KEY_FILE"]
    (mount,) = [mount for mount in container["volumeMounts"] if file == f"{mount['mountPath']}/key"]
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == mount["name"]]
    made = f"create secret generic {volume['secret']['secretName']} --from-literal=key="
    assert made in (DEPLOY / "README.md").read_text()


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
