"""Some tests have more cases than a run of all tests has time for. `EVERY_CASE=1 make test` runs them all."""

import os

EVERY_CASE = bool(os.environ.get("EVERY_CASE"))
