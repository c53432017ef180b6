"""Dramatiq's own tests, with Holdfast's broker in place of each of Dramatiq's, on a real server: `python -m tests.contract.dramatiq.suite`.
Arguments are those of pytest.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.contract.foreign import main, run_in
from tests.contract.sources import source

HARNESS = Path(__file__).parent / "harness"
FILES = ["actors", "callbacks", "composition", "generic_actors", "results", "worker", "stub_broker", "rabbitmq", "redis"]
_REDIS = "reads and writes Redis by its client"
_RABBITMQ = "is about connections of pika"
NOT_OURS = {
    "test_results.py::test_actors_results_are_backwards_compatible": "stores a result that no message has; ours are kept with their jobs",
    "test_stub_broker.py::test_stub_broker_can_be_flushed": "reads the lists of the broker for tests",
    "test_worker.py::test_workers_process_messages_in_order": "looks 1 ms after what it has sent",
    "test_stub_broker.py::test_stub_broker_respects_prefetch": "looks 10 ms after what it has sent",
    "test_rabbitmq.py::test_rabbitmq_consumers_ignore_unknown_messages_in_ack_and_nack": "consumes from a queue that was not declared",
    "test_redis.py::test_redis_consumer_nack_does_not_raise_on_missing_id": "rejects a message that was not consumed",
    **{
        f"test_rabbitmq.py::test_{name}": _RABBITMQ
        for name in (
            "rabbitmq_broker_can_be_passed_a_semicolon_separated_list_of_uris",
            "rabbitmq_broker_can_be_passed_a_list_of_uri_for_failover",
            "rabbitmq_broker_raises_an_error_if_given_invalid_parameter_combinations",
            "rabbitmq_broker_can_be_passed_a_list_of_parameters_for_failover",
            "rabbitmq_broker_connections_are_lazy",
            "rabbitmq_broker_stops_retrying_declaring_queues_when_max_attempts_reached",
            "rabbitmq_broker_reconnects_after_enqueue_failure",
            "rabbitmq_workers_handle_rabbit_failures_gracefully",
            "rabbitmq_connections_can_be_deleted_multiple_times",
            "rabbitmq_channels_can_be_deleted_multiple_times",
            "ignore_scary_logs_filter_ignores_logs",
            "rabbitmq_close_only_registers_ignore_filter_once",
            "rabbitmq_broker_retries_declaring_queues_when_connection_related_errors_occur",
            "rabbitmq_broker_consuming_messages_re_declares_queues_when_declared_queue_disappears",
            "rabbitmq_broker_enqueueing_message_re_declares_queues_when_declared_queue_disappears",
        )
    },
    **{
        f"test_redis.py::test_redis_{name}": _REDIS
        for name in (
            "unacked_messages_can_be_requeued",
            "messages_can_be_dead_lettered",
            "dead_lettered_messages_are_cleaned_up",
            "messages_belonging_to_missing_actors_are_rejected",
            "requeues_unhandled_messages_on_shutdown",
            "requeues_unhandled_delay_messages_on_shutdown",
            "broker_can_connect_via_url",
            "broker_can_connect_via_client",
            "consumer_ack_can_retry_on_connection_error",
            "consumer_nack_can_retry_on_connection_error",
            "join_race_condition",
        )
    },
}


def run(folder: Path, *arguments: str, capture: bool = False) -> subprocess.CompletedProcess[str]:
    """The suite in a folder; without arguments that name tests all of it."""
    tests = folder / "tests"
    tests.mkdir(parents=True)
    for name in FILES:
        shutil.copy(source("dramatiq-2.2.1") / "tests" / f"test_{name}.py", tests)
    (tests / "__init__.py").touch()
    shutil.copy(HARNESS / "names.py", tests / "common.py")
    shutil.copy(HARNESS / "fixtures.py", tests / "conftest.py")
    return run_in(folder, NOT_OURS, *arguments, capture=capture)


if __name__ == "__main__":
    sys.exit(main(run))
