"""The tables of limits against `limits.py`: every bound that a caller can meet stands in one, with its value, and no row says what is not so.

A bound that comes to be is put into a table and named here by its row, or into `INSIDE` where no caller meets it.
"""

import re

import pytest

from holdfast import limits
from tests.system.docs.pages import read, rows

LIMITS = {
    "a head": "HEAD_BYTES HEADERS HEAD_S",
    "connections of one front": "CONNECTIONS FILES_KEPT_BACK CONNECTIONS_MAX",
    "a TLS handshake": "HANDSHAKE_S HANDSHAKES HANDSHAKES_PER_ADDRESS",
    "a payload or a result": "PAYLOAD_BYTES PAYLOAD_BYTES_MAX",
    "a whole body": "BODY_BYTES_OVER_PAYLOAD BODY_S BODY_S_MAX",
    "a body larger than": "LARGE_BODY_BYTES LARGE_BODY_TURN_S",
    "a note of progress": "PROGRESS_BYTES",
    "nesting of JSON": "JSON_DEPTH",
    "names": "QUEUE_NAME_CHARS SCHEDULE_NAME_CHARS WORKER_CHARS ENVIRONMENT_CHARS TIMEZONE_CHARS",
    "texts of a job": "TYPE_CHARS KEY_CHARS CONTENT_TYPE_CHARS TAGS TAG_CHARS META_BYTES META_NAME_CHARS",
    "numbers of a job": "ID_MAX PRIORITY_MAX ATTEMPTS_MAX GROUP_LIMIT_MAX",
    "fair shares": "FAIR_KEY_CHARS FAIR_COST_MAX FAIR_WEIGHT_MAX FAIR_KEYS FAIR_WEIGHTS",
    "budgets": "BUDGETS BUDGET_NAME_CHARS BUDGET_KEY_CHARS BUDGET_UNITS_MAX BUDGET_PER_MS_MAX BUDGETS_OF_JOB BUDGET_BLOCK_MS_MAX "
    "BUDGET_NEXT BUDGET_PASSED",
    "`Idempotency-Key`": "REQUEST_ID_CHARS IDEMPOTENCY_MS",
    "a failure's reason": "REASON_CHARS ERRORS_KEPT",
    "a failure's error": "ERROR_BYTES ERROR_CLASS_CHARS PLACE_CHARS",
    "the reason of a settled job": "SETTLED_CHARS",
    "the capacity of a queue": "CAPACITY_JOBS_MAX CAPACITY_BYTES_MAX",
    "times": "LEASE_MS_MAX DELAY_MS_MAX EXPIRES_MS_MAX RETENTION_MS_MAX INTERVAL_MS_MIN INTERVAL_MS_MAX WAIT_MS_MAX RUN_AT_MAX",
    "the factor of a backoff": "RETRY_FACTOR_MAX",
    "one call": "BULK_JOBS LEASE_JOBS QUEUES_PER_LEASE BATCH_VERBS BATCH_FOLLOW_UPS TYPES",
    "what `scale` may be asked for": "DRAIN_MS_MAX SLOTS_MAX",
    "patterns": "INTEREST_PAIRS PATTERN_CHARS PATTERN_PROGRAM INTEREST_PROGRAM INTERESTS_PAIRS INTERESTS_BYTES INTERESTS_PROGRAM",
    "an event": "PUBLISHED_FIELDS FIELD_STEPS MATCH_STEPS FAN_OUT FAN_OUT_BYTES",
    "a page of a listing": "LIST_LIMIT PAGE_BYTES GRANT_BYTES LIST_TEXT_CHARS FIELDS FIELD_CHARS FIELD_PAYLOAD_BYTES",
    "rows that are looked at": "LIST_SCANNED COUNT_SCANNED FAILURES_SCANNED FAILURE_CHARS POSITION_COUNTED TAKERS_COUNTED",
    "queues": "QUEUES STATS_QUEUES METRIC_QUEUES",
    "registered workers": "WORKERS WORKERS_BYTES HOST_CHARS VERSION_CHARS WORKER_SILENCE_MS_DEFAULT WORKER_SILENCE_MS_MAX",
    "operations": "OPERATIONS_RUNNING OPERATIONS_KEPT OPERATIONS_KEPT_MS OPERATION_JOBS OPERATION_PER_S_MAX OPERATION_LIMIT_MAX",
    "schedules": "SCHEDULES CRON_CHARS MISSED_FIRES SCHEDULE_ERROR_CHARS",
    "batches": "JOB_BATCHES JOB_BATCH_MEMBERS JOB_BATCH_NAME_CHARS JOB_BATCH_LEVELS JOB_BATCHES_KEPT JOB_BATCH_KEPT_MS",
    "the audit log": "AUDIT_ROWS AUDIT_BYTES AUDIT_REFUSALS AUDIT_REFUSALS_PER_S AUDIT_NAME_CHARS AUDIT_CHARS",
    "on the way to the store": "IN_FLIGHT_COMMANDS IN_FLIGHT_QUERIES",
    "waiting for a turn": "DEAR_READS_WAITING READ_WAIT_S MATCHES_WAITING MATCH_WAIT_S CHEAP_READS_WAITING",
    "bytes that a front": "MEMORY_BUDGET_BYTES",
    "an answer that is not read": "UNREAD_S PROGRESS_BYTES_HELD",
    "calls that wait": "PARKED_POLLS PARKED_NAMES",
    "event streams": "STREAMS STREAM_BACKLOG",
    "live channels": "CHANNELS",
    "free disk": "DISK_WATERMARK_BYTES",
    "an application that idles": "SQL_HOLD_MS",
    "the inbox of": "SQL_INBOX_ROWS SQL_INBOX_BYTES SQL_OPTIONS_BYTES",
}
KEYS = {
    "keys": "KEYS",
    "the name of a key": "KEY_NAME_CHARS KEY_NOTE_CHARS",
    "patterns of queues": "KEY_PATTERNS",
    "the life of a key": "KEY_EXPIRES_MS_MAX",
    "requests of a key": "KEY_REQUESTS_PER_S KEY_REQUESTS_PER_S_MAX",
    "its long polls": "KEY_PARKED KEY_PARKED_MAX",
    "wrong keys of one address": "LOGIN_TRIES",
    "an `Authorization` header": "KEY_HEADER_BYTES",
    "a secret that somebody else made": "KEY_SECRET_CHARS_MIN KEY_SECRET_CHARS",
    "a login of the page": "SESSION_S",
}
CHANNEL = {
    "channels": "CHANNELS",
    "credits": "CHANNEL_CREDITS",
    "entries in one batch": "BATCH_VERBS BULK_JOBS",
    "a message": "CHANNEL_BYTES_OVER_PAYLOAD",
    "messages with jobs": "CHANNEL_UNANSWERED",
    "messages of one channel that are not answered": "CHANNEL_UNANSWERED CHANNEL_UNANSWERED_BYTES",
    "bytes that were sent": "CHANNEL_UNREAD_BYTES",
    "payloads that it is given": "CHANNEL_GRANT_BYTES",
    "a lease of a channel that broke": "CHANNEL_KEPT_MS",
    "a worker without a sign of life": "CHANNEL_SILENCE_S CHANNEL_PING_S",
    "what a front": "",
}
TABLES = {"protocol.md": ("## Limits", LIMITS), "channel.md": ("## Bounds", CHANNEL), "keys.md": ("## Bounds", KEYS)}
TUBES = {
    "watched tubes of a connection": "QUEUES_PER_LEASE",
    "reserved jobs of a connection": "TUBE_RESERVED",
    "connections": "TUBE_CONNECTIONS",
}
"""Of the table of differences, which has other rows as well."""
BEANSTALKD = "TUBE_LINE_BYTES TUBE_NAME_BYTES TUBE_NUMBER_MAX TUBE_ID_MAX URGENT_BELOW"
"""Beanstalkd's own bounds, which its protocol tells."""
DEFAULTS = """
    PRIORITY_DEFAULT DRAIN_MS_DEFAULT ATTEMPTS_DEFAULT CRASHES_DEFAULT LIST_LIMIT_DEFAULT CAPACITY_JOBS_DEFAULT CAPACITY_BYTES_DEFAULT LEASE_MS_DEFAULT
    RETENTION_MS_DEFAULT RETENTION_JOBS_DEFAULT RETENTION_BYTES_DEFAULT RETRY_BASE_MS_DEFAULT RETRY_MAX_MS_DEFAULT RETRY_FACTOR_DEFAULT RETRY_JITTER_DEFAULT AUDIT_RETENTION_MS_DEFAULT KEY_OLD_MS
    OPERATION_PER_S_MIN MEMORY_BUDGET_BYTES_MIN MEMORY_BUDGET_BYTES_MAX AUDIT_RETENTION_MS_MIN AUDIT_RETENTION_MS_MAX
    BACKUP_EVERY_MS_MIN BACKUP_EVERY_MS_MAX BACKUPS_KEPT_MAX
"""
"""No bounds of a call: what is taken where nothing is said, and how far a setting goes; the page of settings has those."""
INSIDE = """
    QUEUE_NAME_WRITTEN_CHARS TLS_LOOK_S TLS_EXPIRY_WARNING_S COUNTED_BODY_BYTES ONE_TURN_BODY_BYTES QUEUES_PER_TICK PURGE_CHUNK PURGE_BYTES
    NUMBERS_AHEAD LOAD_SAMPLE EXPORT_PAGE_JOBS EXPORT_PAGE_BYTES IMPORT_LINE_BYTES WORKER_SILENT_MS LEASE_GRACE_MS HISTORY_AHEAD_MS CLOCK_SET_FROM OUTAGE_MS LINGER_S STALLED_S READ_AT_ONCE READ_AT_ONCE_BYTES TURN_S
    REQUEST_CHUNK_BYTES REQUEST_BYTES FRAME_BYTES LARGE_ANSWER_BYTES PIECE_BYTES PIECES_AT_ONCE KEEPER_UNSENT_BYTES KEEPER_UNSENT_BYTES_MAX CHEAP_PAGE
    HALF_CLOSED_READ_S READ_STRETCH_S OWED_VERBS BATCH_COMMANDS BATCH_BYTES BATCH_JOBS NEWS_QUEUES HISTORY_QUEUES JOBS_LOGGED JOB_EVENTS_LOGGED AUDIT_ROW_BYTES AUDIT_CHUNK AUDIT_SCANNED
    AUDIT_STRETCHES CLOSING_JOBS JOB_BATCHES_CACHED ASIDE_JOBS ASIDE_MS ASIDE_MAX_MS DISK_RESERVE_BYTES PATTERN_MEMORY_BYTES KEPT_PATTERN_MEMORY_BYTES SINGLE_PATTERN_MEMORY_BYTES
    SINGLE_PATTERNS MATCH_STEPS_AT_ONCE MATCH_BYTES_AT_ONCE COMPILE_AT_ONCE KEYS_VERIFIED LOGIN_ADDRESSES KEY_USE_NOTED_S SCHEDULE_RETRY_MS
    SCHEDULE_RETRY_MAX_MS SCHEDULE_UNREADABLE_MS TYPES_HEAD TYPES_AT_ONCE TYPES_CHUNK OPERATION_STEP_JOBS OPERATION_STEP_BYTES OPERATION_STEP_S OPERATION_STEP_MS OPERATION_WAIT_MS OPERATION_WAIT_MAX_MS OPERATION_CLAIM_MS
    OPERATION_FOUND OPERATION_SCANNED OPERATION_SKIPPED_REASONS OPERATION_SKIPPED_NAMED READY_FLOORS SCHEDULE_JOBS SCHEDULE_WORK_S URGENT_COUNTED TUBE_UNANSWERED TUBE_UNANSWERED_BYTES
    TUBE_READ_AHEAD_BYTES TUBE_RESERVE_BYTES TUBE_KICKED CHANNEL_CLOSE_S UNREADABLE_REMEMBERED NAMES_LOOK_S
    MISSING_LOOK_S UNREADABLE_SHOWN INSTANT_MAX LOG_WAITING_BYTES LOG_LAST_S SIGNALS_TOGETHER_S SPANS_WAITING SPAN_LINKS SPANS_LAST_S
    BUDGET_UNCLAIMED_MS BUDGET_TOGETHER_MS BUDGET_CLOCK_MS BUDGET_CHUNK BUDGET_ACCOUNTS BUDGET_ACCOUNTS_KEPT
    FAIR_UNIT FAIR_TIME_MAX FAIR_CHUNK FAIR_LINES_KEPT
"""
"""How the work is cut, paced and remembered: no call is refused, cut or ended by these."""


def table(page: str, heading: str) -> dict[str, str]:
    """The rows under a heading: what they say behind their first cell."""
    text = read(f"docs/{page}").partition(f"\n{heading}\n")[2].partition("\n## ")[0]
    found = [row for row in rows(text) if not set(row[0]) <= set("-: ") and row[0] != "limit"]
    return {row[0]: " | ".join(row) for row in found}


def row_of(found: dict[str, str], words: str) -> str:
    """The one row that these words begin, as whole words."""
    hits = [label for label in found if re.match(re.escape(words) + r"(?![\w'])", label)]
    (label,) = [label for label in hits if label == words] or hits
    return label


def is_said(name: str, row: str) -> bool:
    """Whether a row has this value: the year of a moment, else the number."""
    value = getattr(limits, name)
    shown = "9999" if name == "RUN_AT_MAX" else f"{value:,.0f}"
    return re.search(rf"(?<![\d,.]){shown}(?![\d.]|,\d)", row) is not None


@pytest.mark.parametrize("page", TABLES)
def test_every_row_of_a_table_says_what_is_enforced_and_no_row_is_unknown(page):
    heading, known = TABLES[page]
    found = table(page, heading)
    seen = {words: row_of(found, words) for words in known}
    assert set(seen.values()) == set(found)
    wrong = [
        f"{name}: {getattr(limits, name):,}, the page says: {found[seen[words]]}"
        for words, names in known.items()
        for name in names.split()
        if not is_said(name, found[seen[words]])
    ]
    assert not wrong


def test_the_differences_to_beanstalkd_say_what_is_enforced():
    found = table("beanstalkd.md", "## Differences")
    for words, name in TUBES.items():
        assert is_said(name, found[words]), (name, found[words])


def test_every_bound_stands_in_a_table_or_is_met_by_nobody():
    all_of_them = {name for name, value in vars(limits).items() if name.isupper() and isinstance(value, int | float)}
    in_tables = " ".join((*LIMITS.values(), *CHANNEL.values(), *KEYS.values(), *TUBES.values(), BEANSTALKD)).split()
    elsewhere = f"{DEFAULTS} {INSIDE}".split()
    assert not set(in_tables) & set(elsewhere)
    assert len(elsewhere) == len(set(elsewhere))
    assert {*in_tables, *elsewhere} == all_of_them
