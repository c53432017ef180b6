"""Writes `openapi.json`, with which `test_openapi.py` compares the document: `make openapi`.

The version is left out: it stands in one place, and a release changes nothing here.
"""

import json
from pathlib import Path

from holdfast.doors.rest.app import ROUTES
from holdfast.doors.rest.docs import document

FILE = Path(__file__).with_name("openapi.json")

if __name__ == "__main__":
    written = document(ROUTES, "")
    del written["info"]["version"]
    FILE.write_text(json.dumps(written, indent=1, sort_keys=True) + "\n")
