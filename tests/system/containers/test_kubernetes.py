"""`deploy/kubernetes`: built by Kustomize, held to what Kubernetes and CloudNativePG publish, and to what the other files say.

No cluster runs here. The pod of one node does run, in Podman, which reads Kubernetes' own YAML; network policies, the disruption budget and the
resource of CloudNativePG are only read.
"""

import base64
import copy
import json
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.system.containers import podman
from tests.system.containers.cloudnative_pg import objections
from tests.system.containers.podman import ROOT
from tests.system.docs.examples import environment
from tests.system.whole.machine import need, tool_path
from tests.system.whole.servers import until

pytestmark = [pytest.mark.long(90), pytest.mark.timeout(1200)]

DEPLOY = ROOT / "deploy"
PUBLISHED = json.loads((Path(__file__).with_name("schemas") / "kubernetes.json").read_text())
VARIANTS = {"three nodes": DEPLOY / "kubernetes", "one node": DEPLOY / "kubernetes/one-node"}
FIRST = "Never applied to a cluster by the tests"
Resource = dict[str, Any]


def built(folder: Path) -> list[Resource]:
    """The resources of a folder, as `kubectl apply --kustomize` would send them."""
    need("kubectl")
    command = [tool_path("kubectl") or "kubectl", "kustomize", folder]
    return list(yaml.safe_load_all(subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout))


@pytest.fixture(scope="module", params=VARIANTS.values(), ids=VARIANTS.keys())
def resources(request: pytest.FixtureRequest) -> list[Resource]:
    return built(request.param)


def of_kind(resources: list[Resource], *kinds: str) -> Resource:
    (found,) = [one for one in resources if one["kind"] in kinds]
    return found


def policy(resources: list[Resource], name: str) -> Resource:
    (found,) = [one["spec"] for one in resources if one["kind"] == "NetworkPolicy" and one["metadata"]["name"] == name]
    return found


def faults(resource: Resource) -> list[str]:
    """What the published definition of its kind has against it."""
    import jsonschema  # noqa: PLC0415  (1.5 s, which each worker would take to collect the tests)

    ending = f"{resource['apiVersion'].removesuffix('.k8s.io').replace('.k8s.io', '').replace('/', '.')}.{resource['kind']}"
    (name,) = [name for name in PUBLISHED["$defs"] if name.endswith((f"api.{ending}", f"api.core.{ending}"))]
    validator = jsonschema.Draft202012Validator({**PUBLISHED, "$ref": f"#/$defs/{name}"})
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(resource)]


def pod_of(resources: list[Resource]) -> Resource:
    template: Resource = of_kind(resources, "Deployment", "StatefulSet")["spec"]["template"]
    return template


def test_each_resource_is_what_kubernetes_publishes(resources: list[Resource]):
    for resource in resources:
        if resource["kind"] != "Cluster":
            assert faults(resource) == [], resource["kind"]


def test_a_field_that_kubernetes_does_not_know_would_be_found(resources: list[Resource]):
    one = copy.deepcopy(of_kind(resources, "Deployment", "StatefulSet"))
    one["spec"]["template"]["spec"]["containers"][0]["livenessprobe"] = {}
    assert len(faults(one)) == 1


def test_the_database_is_what_cloudnativepg_accepts_and_a_mistake_would_be_found(tmp_path: Path):
    cluster = of_kind(built(DEPLOY / "kubernetes"), "Cluster")
    clusters = [cluster]
    mistakes = {"failoverQuorums": True, "dataDurability": "sometimes", "number": "1"}
    for name, value in mistakes.items():
        clusters.append(copy.deepcopy(cluster))
        clusters[-1]["spec"]["postgresql"]["synchronous"][name] = value
    right, *wrong = objections(clusters, tmp_path)
    assert right == ""
    assert [name for name, said in zip(mistakes, wrong, strict=True) if name not in said] == []


def test_a_pod_is_not_root_reads_only_and_has_no_rights(resources: list[Resource]):
    pod = pod_of(resources)["spec"]
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    rights = {
        name: pod["securityContext"].get(name)
        for name in ("runAsNonRoot", "runAsUser", "runAsGroup", "fsGroup", "seccompProfile")
    }
    assert rights == {
        "runAsNonRoot": True, "runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001, "seccompProfile": {"type": "RuntimeDefault"},
    }  # fmt: skip
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert set(container["resources"]) == {"requests", "limits"}
    (file,) = [entry["value"] for entry in container["env"] if entry["name"] == "HOLDFAST_ADMIN_KEY_FILE"]
    (mount,) = [mount for mount in container["volumeMounts"] if file == f"{mount['mountPath']}/key"]
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == mount["name"]]
    made = f"create secret generic {volume['secret']['secretName']} --from-literal=key="
    assert made in (DEPLOY / "README.md").read_text()


def test_the_probes_ask_what_is_answered_without_a_key_and_the_grace_is_longer_than_the_drain(resources: list[Resource]):
    pod = pod_of(resources)["spec"]
    (container,) = pod["containers"]
    asked = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("readiness", "liveness", "startup")}
    assert asked == {
        "readiness": {"path": "/readyz", "port": "http"},
        "liveness": {"path": "/healthz", "port": "http"},
        "startup": {"path": "/healthz", "port": "http"},
    }
    waits = int(container["lifecycle"]["preStop"]["exec"]["command"][1]) if "lifecycle" in container else 0
    assert pod["terminationGracePeriodSeconds"] >= waits + 30 + 10, "what is waited, drained and closed"


def test_what_kubernetes_puts_into_the_environment_stops_no_start(resources: list[Resource]):
    """A Service called `holdfast` gives every pod `HOLDFAST_PORT=tcp://…`, unless the pod says no."""
    pod = pod_of(resources)["spec"]
    (container,) = pod["containers"]
    service = of_kind(resources, "Service")["metadata"]["name"].upper()
    links = {} if pod.get("enableServiceLinks") is False else {f"{service}_PORT": "tcp://10.0.0.1:4653"}
    secret = {"HOLDFAST_STORE": "postgresql://holdfast:x@holdfast-db-rw.holdfast:5432/holdfast"}
    given = {entry["name"]: entry.get("value", secret.get(entry["name"])) for entry in container["env"]} | links
    command = [Path(sys.executable).with_name("holdfast"), "config", *container["args"][1:]]
    told = subprocess.run(command, env=environment() | given, capture_output=True, text=True, timeout=60, check=False)
    assert told.returncode == 0, told.stderr
    assert 'host = "0.0.0.0"' in told.stdout


def test_services_budgets_and_policies_mean_the_pods_that_are_there(resources: list[Resource]):
    labels = pod_of(resources)["metadata"]["labels"]
    selectors = [of_kind(resources, "Service")["spec"]["selector"], policy(resources, "holdfast")["podSelector"]["matchLabels"]]
    selectors += [one["spec"]["selector"]["matchLabels"] for one in resources if one["kind"] == "PodDisruptionBudget"]
    assert [one for one in selectors if one != labels] == []
    assert policy(resources, "holdfast")["policyTypes"] == ["Ingress", "Egress"]
    assert {port["name"] for port in pod_of(resources)["spec"]["containers"][0]["ports"]} == {
        port["port"] for rule in policy(resources, "holdfast")["ingress"] for port in rule["ports"]
    }


def test_one_of_three_may_be_away_and_they_are_spread_over_machines_and_zones():
    resources = built(DEPLOY / "kubernetes")
    nodes = of_kind(resources, "Deployment")["spec"]["replicas"]
    assert of_kind(resources, "PodDisruptionBudget")["spec"]["minAvailable"] == nodes - 1
    assert [one["topologyKey"] for one in pod_of(resources)["spec"]["topologySpreadConstraints"]] == [
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
    ]
    cluster = of_kind(resources, "Cluster")
    assert (cluster["spec"]["instances"], cluster["spec"]["enablePDB"]) == (3, True)
    assert cluster["spec"]["affinity"]["podAntiAffinityType"] == "required"


def test_the_database_is_reached_by_holdfast_its_own_instances_and_their_operator_alone():
    resources = built(DEPLOY / "kubernetes")
    database = {"cnpg.io/cluster": of_kind(resources, "Cluster")["metadata"]["name"]}
    rules = policy(resources, of_kind(resources, "Cluster")["metadata"]["name"])
    assert rules["podSelector"]["matchLabels"] == database
    reached = [
        ((rule["from"][0]["podSelector"])["matchLabels"], sorted(port["port"] for port in rule["ports"]))
        for rule in rules["ingress"]
        if len(rule["from"]) == 1
    ]
    assert reached == [
        (pod_of(resources)["metadata"]["labels"], [5432]),
        (database, [5432, 8000]),
        ({"app.kubernetes.io/name": "cloudnative-pg"}, [5432, 8000]),
    ]
    (to_database,) = [rule for rule in policy(resources, "holdfast")["egress"] if "podSelector" in rule["to"][0]]
    assert to_database == {"to": [{"podSelector": {"matchLabels": database}}], "ports": [{"protocol": "TCP", "port": 5432}]}


def test_kubernetes_waits_for_as_many_standbys_as_holdfast_proves():
    resources = built(DEPLOY / "kubernetes")
    cluster = of_kind(resources, "Cluster")
    synchronous = cluster["spec"]["postgresql"]["synchronous"]
    assert synchronous == {"method": "any", "number": 1, "dataDurability": "required", "failoverQuorum": True}
    assert "GRANT pg_monitor TO holdfast" in cluster["spec"]["bootstrap"]["initdb"]["postInitApplicationSQL"]
    entries = {entry["name"]: entry for entry in pod_of(resources)["spec"]["containers"][0]["env"]}
    assert int(entries["HOLDFAST_REPLICAS"]["value"]) == synchronous["number"]
    assert entries["HOLDFAST_STORE"]["valueFrom"]["secretKeyRef"] == {
        "name": f"{cluster['metadata']['name']}-app",
        "key": "uri",
    }


def test_commands_for_kubernetes_name_the_namespace(resources: list[Resource]):
    namespace = of_kind(resources, "Namespace")["metadata"]["name"]
    assert {one["metadata"]["namespace"] for one in resources if one["kind"] != "Namespace"} == {namespace}
    looks = [
        line
        for line in (DEPLOY / "README.md").read_text().splitlines()
        if line.startswith("$ kubectl") and "--kustomize" not in line and "create namespace" not in line
    ]
    assert looks
    assert all(f"--namespace {namespace}" in line for line in looks)


def test_every_file_says_in_its_first_line_that_no_cluster_ran_it_and_is_used():
    for folder in VARIANTS.values():
        for path in folder.glob("*.yaml"):
            assert FIRST in path.read_text().partition("\n")[0], path
        (listed,) = yaml.safe_load_all((folder / "kustomization.yaml").read_text())
        assert {*listed["resources"], "kustomization.yaml"} == {path.name for path in folder.glob("*.yaml")}


@pytest.fixture
def played(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The pod of one node, its volume and its secret, in Podman; its container, and what it finds as its secret."""
    image = podman.build()
    resources = built(VARIANTS["one node"])
    template, claim = pod_of(resources), of_kind(resources, "StatefulSet")["spec"]["volumeClaimTemplates"][0]
    name, secret = f"holdfast-{secrets.token_hex(4)}", secrets.token_hex(32)
    (container,) = template["spec"]["containers"]
    podman.podman("tag", image, container["image"])
    container["imagePullPolicy"] = "Never"
    container["ports"][0] |= {"hostIP": "127.0.0.1", "hostPort": 0}
    # A StatefulSet makes the claim, and the kubelet gives the volume to the group; Podman is told both. `optional` it wants to be told, too.
    template["spec"]["volumes"].append({"name": claim["metadata"]["name"], "persistentVolumeClaim": {"claimName": name}})
    owner = {"volume.podman.io/uid": "10001", "volume.podman.io/gid": "10001"}
    (volume,) = [one for one in template["spec"]["volumes"] if "secret" in one]
    volume["secret"] |= {"optional": False, "secretName": name}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": template["metadata"]["labels"]},
        "spec": template["spec"],
    }
    made = [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name},
            "data": {"key": base64.b64encode(secret.encode()).decode()},
        },
        {**claim, "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "annotations": owner}},
        pod,
    ]
    file = tmp_path / "pod.yaml"
    file.write_text(yaml.safe_dump_all(made))
    try:
        podman.podman("kube", "play", "--log-driver", "k8s-file", file)
        running = f"{name}-{container['name']}"
        # Podman 4 hands the secret over as it stands in the YAML, in base64.
        yield running, podman.podman("exec", running, "cat", "/run/secrets/holdfast/key").stdout
    finally:
        podman.podman("kube", "down", file, check=False)
        podman.podman("pod", "rm", "--force", "--time=0", name, check=False)
        podman.podman("volume", "rm", "--force", name)
        podman.podman("secret", "rm", name, check=False)


def test_the_pod_of_one_node_serves_with_its_volume_its_secret_and_no_rights(played: tuple[str, str]):
    name, secret = played
    port = re.search(r":(\d+)$", podman.podman("port", name, "4653").stdout.strip())
    assert port is not None
    with httpx.Client(
        base_url=f"http://127.0.0.1:{port[1]}", trust_env=False, timeout=60, headers={"Authorization": f"Bearer {secret}"}
    ) as client:

        def ready() -> bool:
            try:
                return client.get("/readyz").status_code == 200
            except httpx.TransportError:
                return False

        until(ready, "it is ready")
        assert client.post("/v1/queues/mail/jobs", json={"payload": 1}).json()["durability"]["level"] == "disk"
        assert client.get("/v1/queues", headers={"Authorization": "Bearer no"}).status_code == 401
    status = podman.podman(
        "exec", name, "sh", "-c", "cat /proc/1/status; ls /var/lib/holdfast; touch /etc/x 2>&1", check=False
    ).stdout
    for fact in (
        "Uid:\t10001\t",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "jobs.db\n",
        "Read-only file system",
    ):
        assert fact in status
    podman.podman("stop", name)
    assert podman.podman("inspect", "--format", "{{.State.ExitCode}}", name).stdout == "0\n"
