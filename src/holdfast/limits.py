"""Every bound in Holdfast, with its unit and its reason. Checked once, in the engine.

A bound that an operator may move is the default of a setting in `config.py`; the constant here is then the value that it starts
from or the most that it may be set to.
"""

import re

# Names. The pattern keeps a queue name usable in a URL, a metric label and a file name without escaping.
QUEUE_NAME = re.compile(r"[A-Za-z0-9._:-]{1,128}\Z")
QUEUE_NAME_CHARS = 128
TYPE_CHARS = 128
TAGS = 32
TAG_CHARS = 128
KEY_CHARS = 256  # unique_key and group_key
WORKER_CHARS = 256
REQUEST_ID_CHARS = 128  # the same bound for Idempotency-Key, request_id and X-Request-Id
CONTENT_TYPE_CHARS = 256

# Sizes, in bytes.
HEAD_BYTES = 64 << 10  # request line and headers; h11 and nginx draw the line near there too
PAYLOAD_BYTES = 1 << 20  # default of the setting; as SQS since 2025
PAYLOAD_BYTES_MAX = 64 << 20  # the most that the setting may be: one frame to the keeper holds it whole
BODY_BYTES_OVER_PAYLOAD = 16 << 20  # a bulk body may be this much larger than one payload
PROGRESS_BYTES = 64 << 10
REASON_CHARS = 8_192  # a longer failure reason is cut, not refused: a worker must be able to say that it failed
JSON_DEPTH = 64  # deeper documents break the parsers of other languages

# Numbers.
ID_MAX = (1 << 53) - 1  # what JavaScript holds exactly
PRIORITY_MAX = (1 << 32) - 1
PRIORITY_DEFAULT = 1_024  # as beanstalkd's clients
ATTEMPTS_MAX = 65_535
ATTEMPTS_DEFAULT = 25  # as Sidekiq and River
CRASHES_DEFAULT = 5  # expired leases before a job is put in quarantine
GROUP_LIMIT_MAX = 10_000
BULK_JOBS = 1_000
LEASE_JOBS = 1_000
BATCH_VERBS = 1_000
QUEUES_PER_LEASE = 256
QUEUES = 100_000  # queues on one store: each costs about 1 kB of memory in the keeper
ERRORS_KEPT = 20  # of one job
LIST_LIMIT_DEFAULT = 50
LIST_LIMIT = 1_000
LIST_TEXT_CHARS = 1_000  # what a listing looks for in payloads and errors
LIST_SCANNED = 20_000  # rows that one listing looks at before it answers with what it has and a cursor
COUNT_SCANNED = 5_000  # rows of each state that a count with a filter looks at before it says "at least"
FAILURES_SCANNED = 2_000  # dead jobs, and failed attempts, that a list of failures is made from
FAILURE_CHARS = 500  # of each error in that list
POSITION_COUNTED = 10_000  # "n-th in line" is counted up to here
CAPACITY_JOBS_DEFAULT = 1_000_000
CAPACITY_JOBS_MAX = 10**12
CAPACITY_BYTES_DEFAULT = 4 << 30
CAPACITY_BYTES_MAX = 1 << 50
QUEUES_PER_TICK = 200  # queues whose history is looked at in one go: about 2 ms
BULK_BITE = 500  # jobs that the page changes in one request, when it changes many
PURGE_CHUNK = 2_000  # jobs removed in one transaction, so that a purge never stalls the pushes beside it
PURGE_BYTES = 32 << 20  # the same in bytes: each page of a payload is given back

WORKERS = 100_000  # registered at once: each costs about 500 bytes of memory in the keeper

# Times, in milliseconds.
WORKER_SILENCE_MS_DEFAULT = 300_000  # a registered worker that holds nothing and is silent for longer is removed
WORKER_SILENCE_MS_MAX = 30 * 86_400_000
LEASE_MS_DEFAULT = 300_000  # five minutes, as the seeds have it
LEASE_MS_MAX = 30 * 86_400_000
DELAY_MS_MAX = 3_660 * 86_400_000  # ten years
RUN_AT_MAX = 253_402_300_799_999  # the end of the year 9999, the last that RFC 3339 can write
SQL_HOLD_MS = 5_000  # an application that idles for longer in a transaction in which it enqueued is ended: it holds the queue
BODY_S = 300  # seconds for a large body to arrive
WAIT_MS_MAX = 55_000  # shorter than the 60 s after which most proxies give up
RETENTION_MS_DEFAULT = 86_400_000
RETENTION_MS_MAX = 3_660 * 86_400_000
IDEMPOTENCY_MS = 86_400_000  # a key is kept for as long as its job and at least this long
RETRY_BASE_MS_DEFAULT = 5_000
RETRY_MAX_MS_DEFAULT = 3_600_000
RETRY_FACTOR_DEFAULT = 2.0
RETRY_FACTOR_MAX = 100.0
RETRY_JITTER_DEFAULT = 0.1

# What may wait for the store. Past these a caller is told `overloaded` at once.
IN_FLIGHT_COMMANDS = 20_000
IN_FLIGHT_BYTES = 256 << 20
CHEAP_READS_WAITING = 20_000  # reads of a job, a queue and the like, some 0.1 ms each, that wait for a connection to the store
DEAR_READS_WAITING = 200  # reads that look at many rows
CHEAP_PAGE = 100  # jobs of a page without a filter that is still cheap
READ_WAIT_S = 5.0  # for a read's turn to come
READ_STRETCH_S = 0.01  # that a dear read lasts with the store `memory` before commits may go on; then it is resumed
IN_FLIGHT_QUERIES = 2_000  # of one front process; the store itself reads a few at a time
BATCH_COMMANDS = 2_000  # commands in one transaction: keeps a commit near 10 ms when a backlog is worked off
BATCH_BYTES = 16 << 20  # written in some 50 ms
BATCH_JOBS = 5_000  # jobs that one transaction changes at most, so that it takes less than 100 ms; one command may be more
PARKED_POLLS = 50_000  # long polls of one front process: about 3 kB each
STREAM_BACKLOG = 10_000  # events kept for one slow reader of the event stream before it is told of a gap
STREAMS = 500  # open event streams of one front process

# The history behind the page's plots, in memory where the store is.
HISTORY_QUEUES = 500  # queues with one of their own: about 23 kB each
ENVIRONMENT_CHARS = 40
TRAIL_NOTES = 1_000  # things done by hand that are remembered: about 0.5 MB
HISTORY_SPANS = {"hour": (10_000, 360), "day": (300_000, 288)}  # the length of a step in milliseconds, and how many are kept

# Metrics.
METRIC_QUEUES = 500  # queues with labels of their own; the rest is summed under queue="_other"

# Disk, in bytes.
DISK_WATERMARK_BYTES = 256 << 20  # with less than this free, pushes are refused
DISK_RESERVE_BYTES = 32 << 20  # given back when the disk is full, so that leases can still be ended

# Interests.
PATTERN_CHARS = 512
PATTERN_PROGRAM = 20_000  # instructions that RE2 makes of one pattern: `\pL{10}` is 12,000; compiled in at most some 20 ms
INTEREST_PROGRAM = 50_000  # of all patterns of one queue
PATTERN_MEMORY_BYTES = 8 << 20  # of one RE2 automaton for many patterns; past it they are matched one by one
SINGLE_PATTERN_MEMORY_BYTES = 1 << 20  # of one RE2 automaton for one pattern
SINGLE_PATTERNS = 64  # patterns that are kept compiled each by itself
FAN_OUT = 10_000  # queues that one event may reach in one transaction
INTEREST_PAIRS = 64  # pairs of patterns for one queue
INTERESTS_PAIRS = 50_000  # pairs of patterns of all queues together
INTERESTS_BYTES = 16 << 20  # their text: every front and the keeper may hold it
INTERESTS_PROGRAM = 1_000_000  # instructions of their distinct patterns: at most about 0.3 GB of automata in one process
PUBLISHED_FIELDS = 2_000  # fields of one event that are matched
FIELD_STEPS = 20_000  # names that are put together to find them, each 64 characters of a name one more: at most some 20 ms
MATCH_STEPS = 300_000_000  # characters × instructions of one event: milliseconds as a rule, at worst about 7 s of one thread
MATCH_STEPS_AT_ONCE = 5_000_000  # the same on the event loop: at worst some 70 ms; what takes more is done by a thread
MATCH_BYTES_AT_ONCE = 64 << 10  # a larger event is matched by a thread
COMPILE_AT_ONCE = 5_000  # instructions compiled on the event loop: some 5 ms; more is done by a thread
MATCHES_WAITING = 200  # events of one front that wait for that thread
MATCH_WAIT_S = 5.0  # that one of them waits at most

# Schedules.
SCHEDULES = 10_000
SCHEDULE_NAME_CHARS = 128
CRON_CHARS = 200
INTERVAL_MS_MIN = 1_000  # shorter is a loop, not a schedule
INTERVAL_MS_MAX = 3_660 * 86_400_000
MISSED_FIRES = 100  # missed fires of one schedule that are made up for
FIRED_JOBS = (
    1_000  # jobs that schedules put in one transaction, before the other schedules wait for the next; one fan-out may be more
)
SCHEDULE_RETRY_MS = 1_000  # after a fire that could not be put, such as into a full queue

# The beanstalkd protocol. The first two are beanstalkd's own.
TUBE_LINE_BYTES = 224  # one command with its line end
TUBE_NAME_BYTES = 200
TUBE_NUMBER_MAX = (1 << 32) - 1  # priorities, delays, times and sizes on a command line
TUBE_ID_MAX = (1 << 64) - 1
URGENT_BELOW = 1_024  # priorities that beanstalkd calls urgent
URGENT_COUNTED = 1_000_000  # urgent jobs of one tube are counted up to here: a count walks an index
TUBE_CONNECTIONS = 20_000  # of one front process: about 3 kB each
TUBE_RESERVED = 10_000  # jobs that one connection holds: all of them are handed back at once when it closes
TUBE_UNANSWERED = 2_000  # commands of one connection on their way to the store; its later ones are read when these are answered
TUBE_UNANSWERED_BYTES = 4 << 20  # bodies among them: past this nothing more is read
TUBE_READ_AHEAD_BYTES = 256 << 10  # bytes of a connection that may wait unread behind a command that takes its time
TUBE_RESERVE_BYTES = 32 << 20  # what reserves that came together may bring at most, were every body as large as may be
TUBE_KICKED = 1_000  # jobs kicked in one transaction

# The live channel.
CHANNELS = 10_000  # of one front process: about 9 kB each while they wait
CHANNEL_CREDITS = 1_000  # unfinished jobs of one channel: all of them are handed back at once when it closes
CHANNEL_BYTES_OVER_PAYLOAD = (
    4 << 20
)  # a message may be this much larger than one payload: less than a body, because there are so many channels
CHANNEL_UNANSWERED = 1_000  # messages of one channel on their way to the store; past this it is not read
CHANNEL_UNANSWERED_BYTES = 8 << 20  # the same in bytes
CHANNEL_GRANT_BYTES = 64 << 20  # what one grant may bring at most, were every payload as large as may be
CHANNEL_UNREAD_BYTES = 1 << 20  # sent and not read by the worker: past this it is given no more jobs, and not read
CHANNEL_PING_S = 15  # shorter than the 30 to 60 s after which proxies give up on a silent connection
CHANNEL_SILENCE_S = 30  # without a byte, not even the answer to a ping, a worker is taken for gone
CHANNEL_CLOSE_S = 5  # for the other side to answer a close
