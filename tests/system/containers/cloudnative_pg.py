"""What CloudNativePG accepts: its own API, as the package `@kubernetes-models/cloudnative-pg` of npm has it, as types and as a validator.

The types find a field that is missing or unknown, the validator a value that is out of bounds. Both are kept for the next run.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.system.whole.machine import cannot, need, tool_path

PACKAGES = ("@kubernetes-models/cloudnative-pg@2.0.0", "typescript@5.9.3")
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "holdfast-tests" / "cloudnative-pg-2.0.0"
_KIND = "@kubernetes-models/cloudnative-pg/postgresql.cnpg.io/v1/Cluster"
_COMPILE = ("node_modules/typescript/bin/tsc", "--noEmit", "--strict", "--module", "nodenext", "--skipLibCheck")
_VALIDATE = f"""import {{Cluster}} from '{_KIND}';
for (const one of JSON.parse(process.argv[1])) {{
  try {{ new Cluster(one).validate(); console.log('') }} catch (error) {{ console.log(JSON.stringify(error.message)) }}
}}"""


def objections(clusters: list[dict[str, Any]], folder: Path) -> list[str]:
    """What they have against each of these resources of the kind Cluster; empty where nothing. `folder` is for files."""
    (folder / "node_modules").symlink_to(_installed() / "node_modules")
    lines = [f"export const c{number}: ICluster = {json.dumps(one)};\n" for number, one in enumerate(clusters)]
    (folder / "clusters.mts").write_text("".join([f'import type {{ ICluster }} from "{_KIND}";\n', *lines]))
    typed = _said("node", *_COMPILE, "clusters.mts", at=folder).splitlines()
    found = _said("node", "--input-type=module", "--eval", _VALIDATE, json.dumps(clusters), at=folder).splitlines()
    assert len(found) == len(clusters), found
    return [
        "".join([*(line for line in typed if line.startswith(f"clusters.mts({number + 2},")), validated])
        for number, validated in enumerate(found)
    ]


def _said(program: str, *arguments: str, at: Path) -> str:
    command = [tool_path(program) or program, *arguments]
    done = subprocess.run(command, cwd=at, capture_output=True, text=True, timeout=200, check=False)
    return done.stdout + done.stderr


def _installed() -> Path:
    need("node", "npm")
    if not (CACHE / "node_modules" / "typescript").is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        options = ["--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(CACHE)]
        done = subprocess.run(
            [tool_path("npm") or "npm", "install", *options, *PACKAGES],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode:
            cannot(f"{', '.join(PACKAGES)} can't be had: {done.stderr[-500:]}")
    return CACHE
