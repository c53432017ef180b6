"""Tests of other backends that can't apply to ours, and why; whole classes, or single tests.

What replaces a test, where something does, is in `tests/contract/django`.
"""

DJANGO = {
    "CustomBackendTestCase": "about backends of its own, not about ours",
    "CustomTaskTestCase": "about backends of its own, not about ours",
    "DummyBackendTestCase.test_using_correct_backend": "asks for options that are empty, and ours have the server's address",
    "DummyBackendTestCase.test_refresh_result": "changes the dummy's own list of results instead of running the task",
    "DummyBackendTestCase.test_refresh_result_async": "as test_refresh_result",
    "ImmediateBackendTestCase.test_cannot_get_result": "says that there is no get_result, and ours has it",
    "ImmediateBackendTestCase.test_cannot_refresh_result": "says that there is no refresh, and ours has it",
    "ImmediateBackendTestCase.test_cannot_pass_run_after": "says that there is no run_after, and ours has it",
    "ImmediateBackendTestCase.test_throws_keyboard_interrupt": "is about Ctrl-C in the caller's own thread; in a worker it is the task's error",
}

# fmt: off
DJANGO_TASKS_DB = {
    "ConnectionExclusiveTranscationTestCase": "about locks of its tables",
    "CompatTestCase": "about its own module compat",
    "DatabaseBackendPruneTaskResultsTestCase": "about its command that deletes rows; the server forgets results by itself (retention_ms)",
    "DatabaseTaskResultTestCase": "about locks of its tables",
    "DBTaskResultOrderingTestCase": "about an index of its table",
    "AdminTestCase": "about a column of its admin",
    **{
        f"DatabaseBackendTestCase.test_{name}": "about its table: rows, an index, queries, a custom function for ids"
        for name in (
            "custom_id_function", "database_backend_app_missing", "index_scan_for_ready", "invalid_task_path", "missing_task_path",
            "postgres_db_id_function", "postgres_id_function_expression", "priority_range_check", "refresh_result", "refresh_result_async",
            "run_after_null_0016_migration", "task_name", "unknown_id_function",
        )
    },
    "DatabaseBackendTestCase.test_enqueue_task": "asks for ids of version 4; ours are of version 7",
    "DatabaseBackendTestCase.test_enqueue_task_async": "as test_enqueue_task",
    "DatabaseBackendTestCase.test_doesnt_wait_until_transaction_commit": "the row is in the transaction; ours is ENQUEUE = transaction",
    **{
        f"DatabaseBackendWorkerTestCase.test_{name}": "about an option of its command"
        for name in (
            "unknown_backend", "incorrect_backend", "negative_interval", "infinite_interval", "fractional_interval", "zero_interval",
            "negative_max_tasks", "zero_max_tasks", "max_tasks", "too_long_worker_id", "empty_worker_id", "verbose_logging",
        )
    },
    **{
        f"DatabaseBackendWorkerTestCase.test_{name}": "sets or orders rows of its table"
        for name in ("run_after", "run_after_priority", "worker_with_locked_rows")
    },
    "DatabaseBackendWorkerTestCase.test_complex_return_value": "asks for the words of another error; ours is Django's own, and the task has failed",
    "DatabaseBackendWorkerTestCase.test_missing_task_path": "a task that can't be imported fails; ours is left to a worker that has it",
    "DatabaseBackendWorkerTestCase.test_task_import_string": "as test_missing_task_path",
    "DatabaseWorkerProcessTestCase.test_kill": "asks that the task of a killed worker is RUNNING for ever (its issue 46); ours is run again",
    "DatabaseWorkerProcessTestCase.test_repeat_ctrl_c": "a second Ctrl-C fails the task; ours goes back to the queue by its lease",
}
# fmt: on
