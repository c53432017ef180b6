"""Every bound in Holdfast, with its unit and its reason. Checked once, in the engine.

A bound that an operator may change is the default of a setting in `config.py`; the constant here is then that default, or the
setting's own maximum.
"""

import re

# Names. The pattern keeps a queue name usable in a URL, a metric label and a file name without escaping: so "." and ".." are
# excluded, which URL parsers take for path steps. A character that a beanstalkd tube may have and a queue may not is written as
# `:2F` and counts as one character, so that every tube of 200 bytes has its queue.
QUEUE_NAME_CHARS = 200  # as beanstalkd's tubes
QUEUE_NAME_WRITTEN_CHARS = 3 * QUEUE_NAME_CHARS  # were every character such a sign
QUEUE_NAME = re.compile(
    r"(?!\.{1,2}\Z)(?:[A-Za-z0-9._:-]{1,200}\Z|(?>:[0-9A-F][0-9A-F]|[A-Za-z0-9._:-]){1,200}+\Z)"  # atomic: read in linear time
)
QUEUE_NAME_SQL = QUEUE_NAME.pattern.replace("(?>", "(?:").replace("}+", "}")  # PostgreSQL's are linear by themselves
QUEUE_NAME_ONCE = re.compile(
    r"[A-Za-z0-9._:-]{1,600}\Z"
)  # what a queue may be called that was made before these rules: it can be emptied, removed
SCHEDULE_NAME = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._:-]{1,128}\Z")
TYPE_CHARS = 128
TYPES = 100  # that one lease, one registration or the pauses of one queue name: each is one place to look at
TYPES_HEAD = 256  # first jobs of a queue that are looked through for types: about 0.3 ms. Beyond that the queue is kept by type
TYPES_AT_ONCE = 2 * TYPES  # types of one queue that a lease goes through which wants all but those that are paused
TYPES_CHUNK = 500  # jobs of a queue that are given their types in one transaction: about 3 ms
TAGS = 32
TAG_CHARS = 128
META_BYTES = 4_096  # of one job, names and values together
META_NAME_CHARS = 128
KEY_CHARS = 256  # unique_key and group_key
WORKER_CHARS = 256
HOST_CHARS = 256  # of a worker's machine
VERSION_CHARS = 128  # of a worker's program
REQUEST_ID_CHARS = 128  # the same bound for Idempotency-Key, request_id and X-Request-Id
CONTENT_TYPE_CHARS = 256

WHOLE = re.compile(r"(?:0|[1-9][0-9]{0,17})\Z")  # ASCII, no sign, no zero in front, nothing around it: fits into 64 bits

# Connections of one front process, over HTTP and the beanstalkd protocol together. The machine's bound on open files may be
# lower, and applies then.
CONNECTIONS = 50_000  # default of the setting: as many as polls may be parked
CONNECTIONS_MAX = 1_000_000
FILES_KEPT_BACK = 1_024  # of the process's open files: for the store, the server itself, and callers refused because it is full
HEAD_S = 75  # seconds for a request's head to arrive, and for a connection to rest: longer than the 60 s of proxies, so that the proxy closes first

# TLS.
HANDSHAKE_S = 10  # seconds for a handshake
HANDSHAKES = 2_000  # in progress at once: about 100 kB each
HANDSHAKES_PER_ADDRESS = 500
TLS_LOOK_S = 5.0  # between two checks whether the files of the certificate have changed
TLS_EXPIRY_WARNING_S = 14 * 86_400  # before its end: authorities that renew by themselves do so a month before

# Sizes, in bytes.
HEAD_BYTES = 64 << 10  # request line and headers; h11 and nginx have similar bounds
HEADERS = 200  # of one request; Apache takes 100, and a proxy or two add theirs
PAYLOAD_BYTES = 1 << 20  # default of the setting; as SQS since 2025
PAYLOAD_BYTES_MAX = 64 << 20  # the maximum of the setting: one frame to the keeper holds a whole payload
COUNTED_BODY_BYTES = (
    256 << 10
)  # the entries of a larger body are counted before it is decoded: a smaller one takes some 10 ms, whatever its content
ONE_TURN_BODY_BYTES = 4 << 20  # a larger body is read in several turns of the loop, each some 100 ms at most for the largest
BODY_BYTES_OVER_PAYLOAD = 16 << 20  # a bulk body may be this much larger than one payload
PROGRESS_BYTES = 64 << 10
REASON_CHARS = 8_192  # a longer failure reason is cut, not refused: a worker must be able to say that it failed
ERROR_BYTES = 64 << 10  # class, message and traceback of an error together; more is cut from the middle, not refused
ERROR_CLASS_CHARS = 256
PLACE_CHARS = 400  # where an error was raised: file and function
SETTLED_CHARS = 1_000  # reason given by an operator who ends a job
JSON_DEPTH = 64  # deeper documents break the parsers of other languages

# Numbers.
ID_MAX = (1 << 53) - 1  # the largest integer that JavaScript represents exactly
PRIORITY_MAX = (1 << 32) - 1
PRIORITY_DEFAULT = 1_024  # as beanstalkd's clients
ATTEMPTS_MAX = 65_535
ATTEMPTS_DEFAULT = 25  # as Sidekiq and River
CRASHES_DEFAULT = 5  # expired leases before a job is dead
GROUP_LIMIT_MAX = 10_000
BULK_JOBS = 1_000
LEASE_JOBS = 1_000
BATCH_VERBS = 1_000
BATCH_FOLLOW_UPS = 5_000  # jobs of all `then` of one batch: about what one transaction stores in less than 100 ms
QUEUES_PER_LEASE = 256
QUEUES = 100_000  # queues on one store: each costs about 1 kB of memory in the keeper
ERRORS_KEPT = 20  # of one job
LIST_LIMIT_DEFAULT = 50
LIST_LIMIT = 1_000
LIST_TEXT_CHARS = 1_000  # searched in payloads and errors by a listing
FIELD_CHARS = 200  # the path to a field of a payload that a listing looks for, and its value
FIELDS = 8  # of those at once
FIELD_PAYLOAD_BYTES = 64 << 10  # a larger payload is not looked into: a listing parses up to LIST_SCANNED of them
LIST_SCANNED = 20_000  # rows that one listing scans before it answers with what it has and a cursor
COUNT_SCANNED = 5_000  # rows of each state that a count with a filter scans before it says "at least"
FAILURES_SCANNED = 2_000  # dead jobs, and failed attempts, scanned for a list of failures
FAILURE_CHARS = 500  # of each error in that list
POSITION_COUNTED = 10_000  # "n-th in line" is counted up to here
CAPACITY_JOBS_DEFAULT = 1_000_000
CAPACITY_JOBS_MAX = 10**12
CAPACITY_BYTES_DEFAULT = 4 << 30
CAPACITY_BYTES_MAX = 1 << 50
LOAD_SAMPLE = 100  # of the last concluded jobs of a queue, to tell how many workers it needs
DRAIN_MS_DEFAULT = 60_000  # the time in which those workers are to have done what waits now
DRAIN_MS_MAX = 86_400_000
SLOTS_MAX = 10_000  # jobs that one worker runs at once, as its owner says
TAKERS_COUNTED = 1_000  # workers of one queue that `why` reads, to count the silent ones
QUEUES_PER_TICK = 200  # queues whose history is processed in one go: about 2 ms
PURGE_CHUNK = 2_000  # jobs removed in one transaction, so that a purge never delays enqueues
PURGE_BYTES = 32 << 20  # the same in bytes: each page of a payload is freed

EXPORT_PAGE_JOBS = 500  # read together by an export
EXPORT_PAGE_BYTES = 8 << 20  # of their payloads and results, or one job's if they are larger
IMPORT_LINE_BYTES = (
    512 << 20
)  # one line of an import: a payload and a result of the largest size, and what their characters are escaped to
BACKUP_EVERY_MS_MIN = 60_000
BACKUP_EVERY_MS_MAX = 366 * 86_400_000
BACKUPS_KEPT_MAX = 10_000
NUMBERS_AHEAD = 1_000_000_000  # ids and fences that a restore leaves out: the server that was lost may have given them since
WORKERS = 100_000  # registered at once: each costs about 500 bytes of memory in the keeper, and 60 and its length for each name of a queue
WORKERS_BYTES = 64 << 20  # of all of them together: one with 256 long names costs a hundred times one with a short one

# Times, in milliseconds.
WORKER_SILENCE_MS_DEFAULT = 300_000  # a registered worker without leases that is silent for longer is removed
WORKER_SILENT_MS = (
    60_000  # a registered worker is called silent: workers of ours beat every 15 s, and a poll, which is a beat, takes up to 55
)
WORKER_SILENCE_MS_MAX = 30 * 86_400_000
LEASE_MS_DEFAULT = 300_000  # five minutes, as the seeds have it
LEASE_MS_MAX = 30 * 86_400_000
LEASE_GRACE_MS = (
    6_000  # for leases that expired while no server ran: longer than the 5 s that our clients pause at most between two tries
)
HISTORY_AHEAD_MS = (
    86_400_000  # at a start, ended jobs and kept answers dated further ahead are dated now; a smaller error is over in a day
)
CLOCK_SET_FROM = 1_767_225_600_000  # 2026-01-01: a clock that shows less is not set yet
OUTAGE_MS = 3_000  # without a sign of a server: three of its ticks
DELAY_MS_MAX = 3_660 * 86_400_000  # ten years
EXPIRES_MS_MAX = 3_660 * 86_400_000  # from when a job is due to its deadline: ten years
RUN_AT_MAX = 253_402_300_799_999  # the end of the year 9999, the last that RFC 3339 can write
SQL_HOLD_MS = (
    5_000  # an application that is idle for longer in a transaction in which it enqueued is disconnected: it holds the queue
)
SQL_INBOX_ROWS = 100_000  # jobs that wait in the inbox of `holdfast.enqueue`; past it the function refuses
SQL_INBOX_BYTES = 1 << 30  # the same of their payloads and options
SQL_OPTIONS_BYTES = 65_536  # of the options of one such job, as JSON
BODY_S = 300  # default of the setting: seconds for a body to arrive that did not come with its head
BODY_S_MAX = 3_600
LINGER_S = 2  # after the last answer of a connection, to receive surplus input: else the answer may be lost
WAIT_MS_MAX = 55_000  # shorter than the 60 s after which most proxies give up
RETENTION_MS_DEFAULT = 86_400_000
RETENTION_MS_MAX = 3_660 * 86_400_000
RETENTION_JOBS_DEFAULT = 10_000_000  # of one queue: some 2.5 GB without payloads and results
RETENTION_BYTES_DEFAULT = 4 << 30  # as much as waits at most
IDEMPOTENCY_MS = 86_400_000  # a key is kept for as long as its job and at least this long
RETRY_BASE_MS_DEFAULT = 5_000
RETRY_MAX_MS_DEFAULT = 3_600_000
RETRY_FACTOR_DEFAULT = 2.0
RETRY_FACTOR_MAX = 100.0
RETRY_JITTER_DEFAULT = 0.1

# What a front process holds for its callers, in bytes (`budget.py`). Python briefly holds a request about four times: as
# received, as a value, as a frame, and again in the keeper.
MEMORY_BUDGET_BYTES = 48 << 20  # default of the setting
MEMORY_BUDGET_BYTES_MIN = 8 << 20
MEMORY_BUDGET_BYTES_MAX = 64 << 30
LARGE_BODY_BYTES = 256 << 10  # a larger body waits for its turn, so that a few of them leave room for the many small ones
LARGE_BODY_TURN_S = 10  # for a turn to come; then the body is refused
PROGRESS_BYTES_HELD = 64 << 10  # less than this, sent or read, is no progress: a drop now and then does not keep a turn
STALLED_S = 2.0  # without 64 KiB of progress: then a large body loses its turn, if another waits for one
UNREAD_S = 30  # without 64 KiB of progress: then an answer is not read, and its connection is cut
READ_AT_ONCE = (
    4  # connections that are read further in one turn of the loop, if many send large pieces; one read is up to 256 KiB
)
READ_AT_ONCE_BYTES = 1 << 20  # and from this on
TURN_S = 0.002  # of one turn of the loop, for work done in chunks
REQUEST_CHUNK_BYTES = 16 << 10  # of the input received at once on a connection, before the next one's turn
REQUEST_BYTES = 4 << 10  # the cost of a request that waits behind another, besides its body

# What one answer brings, in bytes: a page or a grant that would be larger ends before, with at least one job in it.
PAGE_BYTES = 16 << 20
GRANT_BYTES = 16 << 20
FAN_OUT_BYTES = 32 << 20  # all copies of one event together: one transaction, about 0.1 s
FRAME_BYTES = (
    4 << 20
)  # a frame between a front and the keeper that has grown to this leaves at once; one command or answer may be larger
LARGE_ANSWER_BYTES = 128 << 10  # a larger answer of the keeper is sent in pieces, with small ones in between
PIECE_BYTES = 128 << 10  # about what a socket between two processes buffers
PIECES_AT_ONCE = 8  # in one turn of the keeper's loop
KEEPER_UNSENT_BYTES = 4 << 20  # of answers that a front has not read: past this nothing is begun for it that may bring as much
KEEPER_UNSENT_BYTES_MAX = 64 << 20  # and past this nothing that may bring a job

# What may wait for the store. Past this a caller gets `overloaded` at once.
IN_FLIGHT_COMMANDS = 20_000
OWED_VERBS = 20_000  # of leases whose holders have gone, to be given back or shortened when the store is there again
CHEAP_READS_WAITING = 20_000  # reads of a job, a queue and the like, some 0.1 ms each, that wait for a connection to the store
DEAR_READS_WAITING = 200  # reads that scan many rows
CHEAP_PAGE = 100  # jobs of a page without a filter that is still cheap
HALF_CLOSED_READ_S = (
    0.5  # for the read of a half-closed connection: its caller may still listen, or have left; both look the same
)
READ_WAIT_S = 5.0  # for a read's turn to come
READ_STRETCH_S = 0.01  # that a dear read lasts with the store `memory` before commits may go on; then it is resumed
IN_FLIGHT_QUERIES = 2_000  # of one front process; the store itself reads a few at a time
BATCH_COMMANDS = 2_000  # commands in one transaction: keeps a commit near 10 ms when a backlog is processed
BATCH_BYTES = 16 << 20  # written in some 50 ms
BATCH_JOBS = 5_000  # jobs that one transaction changes at most, so that it takes less than 100 ms; one command may be more
NEWS_QUEUES = 10_000  # of which it is remembered when there was news last, so that no poll misses any: about 150 bytes each
PARKED_POLLS = 50_000  # long polls of one front process: about 3 kB each
PARKED_NAMES = 250_000  # of queues that they wait for, all together: about 0.5 kB each, here and in the keeper
STREAM_BACKLOG = 10_000  # events queued for one slow reader of the event stream before it gets a gap
STREAMS = 500  # open event streams of one front process

# The history behind the page's plots, in memory where the store is.
HISTORY_QUEUES = 500  # queues with one of their own: about 23 kB each
ENVIRONMENT_CHARS = 40
JOBS_LOGGED = 10_000  # of which it is known what happened between their attempts: about 300 bytes an event
JOB_EVENTS_LOGGED = 20
HISTORY_SPANS = {"hour": (10_000, 360), "day": (300_000, 288)}  # the length of a step in milliseconds, and how many are kept

# Operations: bulk work by the server.
OPERATIONS_RUNNING = 20  # that have not ended, running and paused
OPERATIONS_KEPT = 1_000  # that have ended: at most some 30 kB each
OPERATIONS_KEPT_MS = 30 * 86_400_000
OPERATION_JOBS = 2_000  # ids that one may name, in place of a filter
OPERATION_PER_S_MIN = 0.01
OPERATION_PER_S_MAX = 100_000
OPERATION_LIMIT_MAX = 1_000_000_000
OPERATION_STEP_JOBS = 200  # that one step changes, in one transaction
OPERATION_STEP_BYTES = 4 << 20  # of their payloads
OPERATION_STEP_S = 0.01  # that it may take to decide them: then others' commands have their turn
OPERATION_STEP_MS = 20  # between two steps of one with a pace
OPERATION_WAIT_MS = 250  # before it tries again what there was no room for; twice as long each time, up to
OPERATION_WAIT_MAX_MS = 10_000
OPERATION_CLAIM_MS = 5_000  # that another node waits for one that is silent
OPERATION_FOUND = 5_000  # ids that are looked up at once
OPERATION_SCANNED = 1_000  # the same where each job has to be looked at
OPERATION_SKIPPED_REASONS = 20  # that are told apart
OPERATION_SKIPPED_NAMED = 10  # jobs that are named for each

# The audit log.
AUDIT_RETENTION_MS_DEFAULT = 90 * 86_400_000
AUDIT_RETENTION_MS_MIN = 60_000
AUDIT_RETENTION_MS_MAX = 3_660 * 86_400_000
AUDIT_ROWS = 1_000_000  # entries kept: about 250 MB; past this the oldest are removed
AUDIT_BYTES = 512 << 20  # the same in bytes
AUDIT_ROW_BYTES = 65_536  # more than one entry can take; also in `count_audit.sql`
AUDIT_CHARS = 600  # of one text of an entry: the longest name of a queue that there may be
AUDIT_NAME_CHARS = 200  # of who did it
AUDIT_CHUNK = 1_000  # entries that are removed in one transaction
AUDIT_SCANNED = 5_000  # entries that one read scans: some 5 ms
AUDIT_STRETCHES = 20  # such reads for one page; then it is returned short, with a cursor
AUDIT_REFUSALS = 100  # refusals that may be recorded at once; past the two bounds they are only counted
AUDIT_REFUSALS_PER_S = 10  # and recorded in the long run, by each process that has a store

# Jobs that expiry or promotion fails for, set aside one by one.
ASIDE_JOBS = 1_000  # remembered: about 300 bytes each
ASIDE_MS = 1_000  # before the next try; twice as long after each further one
ASIDE_MAX_MS = 600_000

# Numbers.
STATS_QUEUES = 1_000  # queues that one answer with statistics shows: about 0.5 MB, made in some 10 ms
METRIC_QUEUES = 500  # queues with labels of their own; the rest is summed under queue="_other"

# Disk, in bytes.
DISK_WATERMARK_BYTES = 256 << 20  # with less than this free, new jobs are refused
DISK_RESERVE_BYTES = 32 << 20  # deleted when the disk is full, so that leases can still be ended

# Interests.
PATTERN_CHARS = 512
PATTERN_PROGRAM = 20_000  # instructions that RE2 makes of one pattern: `\pL{10}` is 12,000; compiled in at most some 20 ms
INTEREST_PROGRAM = 50_000  # of all patterns of one queue
PATTERN_MEMORY_BYTES = 8 << 20  # of one RE2 automaton for many patterns; past it they are matched one by one
KEPT_PATTERN_MEMORY_BYTES = (
    16 << 20
)  # of one RE2 automaton for a pattern that an earlier version took, up to 700,000 instructions
SINGLE_PATTERN_MEMORY_BYTES = 1 << 20  # of one RE2 automaton for one pattern
SINGLE_PATTERNS = 64  # patterns that are cached, each compiled by itself
FAN_OUT = 10_000  # queues that one event may reach in one transaction
INTEREST_PAIRS = 64  # pairs of patterns for one queue
INTERESTS_PAIRS = 50_000  # pairs of patterns of all queues together
INTERESTS_BYTES = 16 << 20  # their text: every front and the keeper may hold it
INTERESTS_PROGRAM = 1_000_000  # instructions of their distinct patterns: at most about 0.3 GB of automata in one process
PUBLISHED_FIELDS = 2_000  # fields of one event that are matched
FIELD_STEPS = 20_000  # names built to match them, each 64 characters of a name one more: at most some 20 ms
MATCH_STEPS = 300_000_000  # characters × instructions of one event: milliseconds as a rule, at worst about 7 s of one thread
MATCH_STEPS_AT_ONCE = 5_000_000  # the same on the event loop: at worst some 70 ms; what takes more is done by a thread
MATCH_BYTES_AT_ONCE = 64 << 10  # a larger event is matched by a thread
COMPILE_AT_ONCE = 5_000  # instructions compiled on the event loop: some 5 ms; more is done by a thread
MATCHES_WAITING = 200  # events of one front that wait for that thread
MATCH_WAIT_S = 5.0  # that one of them waits at most

# Budgets. With these numbers all that is computed of them stays below 2^53.
BUDGETS = 1_000  # of one store
BUDGET_NAME = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._:-]{1,128}\Z")
BUDGET_NAME_CHARS = 128
BUDGET_KEY_CHARS = 128
BUDGET_UNITS_MAX = 1_000_000  # of `limit` and `burst`
BUDGET_PER_MS_MAX = 31 * 86_400_000
BUDGETS_OF_JOB = 8  # that a job names, and as many that its queue's settings add
BUDGET_BLOCK_MS_MAX = 31 * 86_400_000
BUDGET_NEXT = (
    1_000  # jobs of one account that are in their queues' lines at once: so many are set aside again when it is blocked
)
BUDGET_UNCLAIMED_MS = 10_000  # that a queue keeps units from jobs of others although nobody takes from it
# Each of these queues has a line to look at. The row of an account names them, and those of the jobs that are next: 1,256, in less than 1 MiB.
BUDGET_PASSED = 256  # queues of one account that keep no units from jobs of others at a time
BUDGET_TOGETHER_MS = 10  # that jobs wait for each other at most, so that a fast rate is not one transaction for each
BUDGET_CLOCK_MS = (
    60_000  # what an account may be ahead of the clock, which other nodes read, too; more is a clock that was set back
)
BUDGET_CHUNK = 1_000  # jobs that leave the lines of accounts in one transaction
BUDGET_ACCOUNTS = 200  # accounts that one transaction of a tick looks at
BUDGET_ACCOUNTS_KEPT = 10_000  # in the keeper's memory: about 300 bytes each

# Access keys.
KEYS = 10_000  # of one store: each front has all of them in memory, about 1 kB each
KEY_NAME_CHARS = 128
KEY_NAME = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._:-]{1,128}\Z")
KEY_NOTE_CHARS = 500
KEY_PATTERNS = 100  # patterns of queues of one key: a name is compared with each
KEY_SECRET_CHARS_MIN = 32  # of a secret that somebody else made: what can be guessed must not be taken
KEY_SECRET_CHARS = 200
KEY_HEADER_BYTES = 1_000  # of an Authorization header that is looked into
KEY_EXPIRES_MS_MAX = 3_660 * 86_400_000
KEY_OLD_MS = 86_400_000  # that the secret before lives on after a rotation, unless another time is given
KEY_REQUESTS_PER_S = 20_000  # of one key in one front process, unless the key has a bound of its own: more than a front answers
KEY_REQUESTS_PER_S_MAX = 1_000_000
KEY_PARKED = 20_000  # long polls, streams, channels and beanstalkd connections of one key in one front process, likewise
KEY_PARKED_MAX = 100_000
KEYS_VERIFIED = 20_000  # Authorization headers that need not be looked into again: about 250 bytes each
LOGIN_TRIES = 20  # failed ones of one address in a minute; after these it is told so, and a right key is let in all the same
LOGIN_ADDRESSES = 10_000  # of which this is counted
SESSION_S = 12 * 3_600  # that a login of the page lasts
KEY_USE_NOTED_S = 60.0  # between two writes of when keys were last used

# Schedules.
SCHEDULES = 10_000
SCHEDULE_NAME_CHARS = 128
CRON_CHARS = 200
TIMEZONE_CHARS = 60  # the longest name of a zone has 32
INTERVAL_MS_MIN = 1_000  # shorter is a loop, not a schedule
INTERVAL_MS_MAX = 3_660 * 86_400_000
MISSED_FIRES = 100  # missed fires of one schedule that are made up for
SCHEDULE_RETRY_MS = 1_000  # after a refused fire, such as for a full queue; twice as long after each further try
SCHEDULE_RETRY_MAX_MS = 60_000  # up to this: the queue of a fire that was refused for hours may have room any time
SCHEDULE_UNREADABLE_MS = 600_000  # between reads of an unreadable one
SCHEDULE_ERROR_CHARS = 500  # of the reason why one can't fire
READY_FLOORS = 16  # priorities in use at once in one queue, for each of which PostgreSQL stores where it begins
SCHEDULE_JOBS = 1_000  # jobs that fires enqueue in one transaction, and the last fire's: the rest follows in the next
SCHEDULE_WORK_S = 0.03  # fires are computed for so long in one transaction; the rest waits for the next

# The beanstalkd protocol. The first two are beanstalkd's own.
TUBE_LINE_BYTES = 224  # one command with its line end
TUBE_NAME_BYTES = 200
TUBE_NUMBER_MAX = (1 << 32) - 1  # priorities, delays, times and sizes on a command line
TUBE_ID_MAX = (1 << 64) - 1
URGENT_BELOW = 1_024  # priorities that beanstalkd calls urgent
URGENT_COUNTED = 1_000_000  # urgent jobs of one tube are counted up to here: a count walks an index
TUBE_CONNECTIONS = 20_000  # of one front process: about 3 kB each
TUBE_RESERVED = 10_000  # jobs leased by one connection: all of them are released at once when it closes
TUBE_UNANSWERED = 2_000  # commands of one connection in progress; later ones are read when these are answered
TUBE_UNANSWERED_BYTES = 4 << 20  # bodies among them: past this nothing more is read
TUBE_READ_AHEAD_BYTES = 256 << 10  # bytes of a connection that may wait unread behind a command that takes its time
TUBE_RESERVE_BYTES = 1 << 20  # what reserves that arrive together return in one go; a body alone may be larger
TUBE_KICKED = 1_000  # jobs kicked in one transaction

# The live channel.
CHANNELS = 10_000  # of one front process: about 9 kB each while they wait
CHANNEL_CREDITS = 1_000  # unfinished jobs of one channel: all of them are handed back at once when it closes
CHANNEL_BYTES_OVER_PAYLOAD = (
    4 << 20
)  # a message may be this much larger than one payload: less than a body, because there are so many channels
CHANNEL_UNANSWERED = 1_000  # messages of one channel in progress; past this it is not read
CHANNEL_UNANSWERED_BYTES = 8 << 20  # the same in bytes
CHANNEL_GRANT_BYTES = 1 << 20  # of one grant; a payload alone may be larger. The worker must read it before it gets more
CHANNEL_UNREAD_BYTES = 1 << 20  # sent and not read by the worker: past this it gets no more jobs, and is not read
CHANNEL_PING_S = 15  # shorter than the 30 to 60 s after which proxies close a silent connection
CHANNEL_SILENCE_S = 30  # without a byte, not even the answer to a ping, a worker counts as gone
CHANNEL_KEPT_MS = (
    30_000  # for a worker that keeps its jobs to come back after its channel broke; half of what is left of a longer lease
)
CHANNEL_CLOSE_S = 5  # for the other side to answer a close
UNREADABLE_REMEMBERED = 1_000  # unreadable rows, each logged once: about 200 B each, and more add no information
NAMES_LOOK_S = 60.0  # between checks of all names, after undecodable text was read: some 50 ms for 100,000
MISSING_LOOK_S = (
    60.0  # between searches for jobs of a queue whose own row is missing, if the tally has more than the queue's order
)
UNREADABLE_SHOWN = 20  # of these on the page and in an answer: as many as a check names of each kind
INSTANT_MAX = 253_402_300_799_999  # ms since 1970: the end of the year 9999, the last that RFC 3339 can write
SPANS_WAITING = 2_048  # ended spans of one front process that wait to be exported: about 2 kB each; more are dropped
SPAN_LINKS = 16  # of a commit to the other requests of its batch
SPANS_LAST_S = 2.0  # that a front which ends waits for its last spans to be exported
LOG_WAITING_BYTES = (
    1 << 20
)  # of log lines that are not read, in each process: some thousand lines; then they are dropped and counted
LOG_LAST_S = 1.0  # that a process which ends waits for a reader of its last lines
SIGNALS_TOGETHER_S = 0.25  # signals to stop within this time are one: less than a person needs to press Ctrl-C again

# Batches of jobs.
JOB_BATCHES = 100_000  # that are not finished, or have dead members: each has a row that is written with its members
JOB_BATCH_MEMBERS = 10_000_000  # of one batch
JOB_BATCH_NAME_CHARS = 256
JOB_BATCH_LEVELS = 8  # of batches whose closing jobs are members of others
JOB_BATCHES_KEPT = 10_000  # finished ones without dead members: the newest, for at most so long:
JOB_BATCH_KEPT_MS = 7 * 86_400_000
CLOSING_JOBS = 1_000  # put in one transaction; more are owed, and put by the next
JOB_BATCHES_CACHED = 10_000  # rows that the writer of a file remembers: some 500 bytes each

# Fair shares. With these numbers virtual times stay below 2^63.
FAIR_KEY_CHARS = 128
FAIR_KEYS = 100_000  # with jobs that wait, of one priority of one queue: each has a row, and a lease by type may look at all of them; and without any
FAIR_COST_MAX = 10_000
FAIR_WEIGHT_MAX = 1_000
FAIR_WEIGHTS = 10_000  # keys of one queue that have a weight of their own
FAIR_UNIT = 1_000_000  # virtual time that a job with cost 1 and weight 1 takes
FAIR_TIME_MAX = 1 << 60  # of virtual time before it is counted anew
FAIR_CHUNK = 2_000  # jobs that are sorted by their keys, and rows of keys that are forgotten, in one transaction
FAIR_LINES_KEPT = 20_000  # rows of keys in the keeper's memory: about 250 bytes each
