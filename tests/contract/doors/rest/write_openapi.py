"""Writes `openapi.json`, with which `test_openapi.py` compares the document: `make openapi`."""

import json
from pathlib import Path

from holdfast.doors.rest.app import ROUTES
from holdfast.doors.rest.docs import document

FILE = Path(__file__).with_name("openapi.json")

if __name__ == "__main__":
    FILE.write_text(json.dumps(document(ROUTES, ""), indent=1, sort_keys=True) + "\n")
