"""taskiq's own tests, with Holdfast's broker in place of taskiq's own, on a real server: `python -m tests.contract.taskiq.suite`. Arguments are
those of pytest.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.contract.foreign import main, run_in
from tests.contract.sources import source

HARNESS = Path(__file__).parent / "harness"
FILES = [
    "brokers/test_inmemory.py",
    "test_requeue.py",
    "test_retry_task.py",
    "test_exceptions_flow.py",
    "test_kicker.py",
    "depends/test_progress_tracker.py",
    "middlewares/test_simple_retry.py",
    "middlewares/test_task_retry.py",
    "api/test_receiver_task.py",
    "receiver/test_receiver.py",
]
_RESULTS = "takes a result out of the dictionary in memory"
_DELAY = "has a delay of five seconds, and waits for one: in memory nothing is delayed"
NOT_OURS = {
    "brokers/test_inmemory.py::test_cannot_listen": "says that there is no listen, and ours has it",
    "depends/test_progress_tracker.py::test_progress_tracker_validation_error": "a result in memory has its exception as it was; ours as JSON can say it",
    "middlewares/test_task_retry.py::test_wait_result_error": _RESULTS,
    "middlewares/test_task_retry.py::test_wait_result_no_result": _RESULTS,
    "middlewares/test_task_retry.py::test_per_task_exc_types_matching[SmartRetryMiddleware]": _DELAY,
    "middlewares/test_task_retry.py::test_per_task_exc_types_override_global[SmartRetryMiddleware]": _DELAY,
    "middlewares/test_task_retry.py::test_retry_of_custom_exc_types_of_smart_middleware": _DELAY,
}


def run(folder: Path, *arguments: str, capture: bool = False) -> subprocess.CompletedProcess[str]:
    """The suite in a folder; without arguments that name tests all of it."""
    tests = folder / "tests"
    for name in FILES:
        (tests / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source("taskiq-0.13.0") / "tests" / name, tests / name)
        (tests / name).with_name("__init__.py").touch()
    (tests / "__init__.py").touch()
    shutil.copy(HARNESS / "queue_broker.py", tests / "utils.py")
    shutil.copy(HARNESS / "fixtures.py", tests / "conftest.py")
    return run_in(folder, NOT_OURS, *arguments, capture=capture)


if __name__ == "__main__":
    sys.exit(main(run))
