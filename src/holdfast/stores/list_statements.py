"""The statements behind a listing: one shape, filled in for each state, its order and the filters in use, in the words of one database.

The only place that composes SQL, because many optional filters over seven orders would be a hundred files. It composes only the
fixed names below; values are always bound, as parameters that begin with a colon.
"""

from dataclasses import dataclass, replace
from functools import cache

from holdfast.job.job import State
from holdfast.limits import FIELD_PAYLOAD_BYTES
from holdfast.stores.rows import JOB_NAMES

Key = tuple[int | str, ...]
_TEXTS = ("s.group_key", "s.account")


@dataclass(frozen=True)
class Dialect:
    """What two databases say differently."""

    found: str
    """A join with the row of {table}, called {name}, that has the {key}: it is found by that, after what stands before it, whatever the planner believes."""
    no_bytes: str
    has_extras: str
    """Whether `j.extras` (JSON) has :tag among its tags, and all of :meta (a JSON object) in its meta; what is NULL is not asked for. One
    expression, so that a planner guesses once how few rows have what is asked for.
    """
    is_seen: str
    """Whether the row's queue is among those named by :names, or begins as one of :prefixes (both JSON)."""
    payload_has_text: str
    payload_has_fields: str
    """Whether `j.payload`, which is JSON, has at each of the paths :field (see `payload_fields`) its value: a string, or the JSON of what is no array
    or object.
    """
    reason_has_text: str
    reason_has_error: str
    ids: str
    """The numbers of :ids (JSON), as `i.value`."""


@dataclass(frozen=True)
class Section:
    """The jobs of one state in their natural order. `key` orders them within a queue, `key_over_all` over all queues."""

    state: State
    table: str
    view: str
    key: tuple[str, ...]
    key_over_all: tuple[str, ...]
    where: str = "true"
    descending: bool = False
    where_of_queue: str = ""
    """The same in one queue, in words for which only an index that begins with the queue will do: by another, the rows of all queues would be looked
    through where PostgreSQL counted those of one.
    """

    def key_of(self, one_queue: bool) -> tuple[str, ...]:
        """The columns that order the rows."""
        return self.key if one_queue else self.key_over_all

    def may_be_key(self, one_queue: bool, key: Key) -> bool:
        """Whether these values can be the key of one of its rows."""
        columns = self.key_of(one_queue)
        return not key or (
            len(key) == len(columns)
            and all(isinstance(part, str) is (column in _TEXTS) for part, column in zip(key, columns, strict=True))
        )


def _ended(state: State) -> Section:
    return Section(
        state,
        "ended",
        "ended_job",
        ("s.ended_at", "s.job"),
        ("s.ended_at", "s.job"),
        f"s.state = '{state.value}'",
        True,
        f"s.state = (SELECT '{state.value}')",
    )


SECTIONS = (
    Section(State.LEASED, "leased", "leased_job", ("s.fence",), ("s.fence",)),
    Section(State.READY, "ready", "ready_job", ("s.priority", "s.job"), ("s.queue", "s.priority", "s.job")),
    Section(State.READY, "held", "held_job", ("s.group_key", "s.job"), ("s.queue", "s.group_key", "s.job")),
    Section(State.READY, "ready_for", "ready_for_job", ("s.priority", "s.job"), ("s.queue", "s.priority", "s.job")),
    Section(State.READY, "waiting", "waiting_job", ("s.job",), ("s.account", "s.job")),
    Section(State.SCHEDULED, "scheduled", "scheduled_job", ("s.ready_at", "s.job"), ("s.ready_at", "s.job")),
    _ended(State.DEAD),
    _ended(State.CANCELLED),
    Section(
        State.CONCLUDED, "ended", "ended_job", ("s.ended_at", "s.job"), ("s.job",), "s.state = 'concluded'", True
    ),  # over all queues by id: nearly every row of the table is one of these, so that its own order will do
)

REVERSED = tuple(replace(section, descending=not section.descending) for section in SECTIONS)
"""The same, each the other way round, which every index serves as well."""

_JOB = ", ".join(f"v.{name}" for name in JOB_NAMES)
_JOB_OF = {"table": "job", "name": "j"}
_SAME = {
    "leased": " AND v.fence = s.fence",
    "ready": " AND v.queue = s.queue AND v.priority = s.priority",
    "waiting": " AND v.queue = s.queue",
    "held": " AND v.queue = s.queue AND v.group_key = s.group_key",
    "ready_for": " AND v.line = s.worker AND v.queue = s.queue AND v.priority = s.priority",
}
"""How the row of a state's table is found again through its view, where the job's id alone is not its key."""


def _where(section: Section, one_queue: bool, after: bool, up_to: bool) -> str:
    key = section.key_of(one_queue)
    columns = ", ".join(key)
    beyond, within = ("<", ">=") if section.descending else (">", "<=")
    terms = [(one_queue and section.where_of_queue) or section.where]
    if one_queue:
        terms.append("s.queue = :queue")
    if after:
        terms.append(f"({columns}) {beyond} ({_bounds(key, 'k')})")
    if up_to:
        terms.append(f"({columns}) {within} ({_bounds(key, 'b')})")
    return " AND ".join(terms)


def _bounds(key: tuple[str, ...], letter: str) -> str:
    return ", ".join(f":{letter}{n}{'t' if column in _TEXTS else ''}" for n, column in enumerate(key))


def named(letter: str, key: Key) -> dict[str, int | str]:
    """The values of a key under the names that the statements use."""
    return {f"{letter}{n}{'t' if isinstance(part, str) else ''}": part for n, part in enumerate(key)}


def _filters(dialect: Dialect, scoped: bool, moment: str, holder: str, reason: str) -> tuple[str, ...]:
    """`moment`: when the job ended, or was enqueued where it has not; `holder`: whether :worker holds it, or concluded it; `reason`: why
    it ended, NULL where it has not.
    """
    text = (
        f"((CASE WHEN :searched IS NULL OR j.size <= :searched THEN {dialect.payload_has_text} ELSE false END)"
        f" OR EXISTS (SELECT 1 FROM job_error e WHERE e.job = j.id AND {dialect.reason_has_text}))"
    )
    fields = (
        f"CASE WHEN j.content_type IS NULL AND j.size <= {FIELD_PAYLOAD_BYTES} THEN {dialect.payload_has_fields} ELSE false END"
    )
    error = (
        f"EXISTS (SELECT 1 FROM job_error e WHERE e.job = j.id AND {dialect.reason_has_error}"
        " AND e.attempt = (SELECT max(l.attempt) FROM job_error l WHERE l.job = j.id))"
    )
    return (
        "(:type IS NULL OR j.type = :type)",
        f"(coalesce(:tag, :meta) IS NULL OR (j.extras IS NOT NULL AND {dialect.has_extras}))",
        f"(:text IS NULL OR {text})",
        _likely(f":ended_by IS NULL OR {reason} = :ended_by"),
        _likely(f":field IS NULL OR {fields}"),
        f"(:before IS NULL OR {moment} <= :before)",
        f"(:since IS NULL OR {moment} >= :since)",
        f"(:worker IS NULL OR {holder} OR EXISTS (SELECT 1 FROM job_error e WHERE e.job = j.id AND e.worker = :worker))",
        f"(:error IS NULL OR {error})",
        *(
            (f"({dialect.is_seen}) IS TRUE",) if scoped else ()
        ),  # a filter, not an access path: an index of queues has another order
    )


def _likely(condition: str) -> str:
    """A condition of which a planner believes that nearly all rows meet it. It takes each OR for one that few rows meet, and with many of them would
    walk all jobs for the first page.
    """
    return f"(CASE WHEN {condition} THEN 1 END) IS NOT NULL"


def _filters_of(dialect: Dialect, section: Section, scoped: bool) -> tuple[str, ...]:
    moment = "s.ended_at" if section.table == "ended" else "j.created_at"
    holder = "s.worker = :worker" if section.table in ("ended", "leased") else "false"
    reason = "s.reason" if section.table == "ended" else "NULL"
    return _filters(dialect, scoped, moment, holder, reason)


def _order(section: Section, one_queue: bool) -> str:
    way = " DESC" if section.descending else ""
    return ", ".join(column + way for column in section.key_of(one_queue))


@cache
def bound_sql(section: Section, one_queue: bool, after: bool) -> str:
    """Find the key up to which a filtered page looks: :scanned rows on."""
    columns = ", ".join(section.key_of(one_queue))
    where = _where(section, one_queue, after, up_to=False)
    return f"SELECT {columns} FROM {section.table} s WHERE {where} ORDER BY {_order(section, one_queue)} LIMIT 1 OFFSET :scanned - 1"


@cache
def page_sql(
    dialect: Dialect, section: Section, one_queue: bool, after: bool, up_to: bool, filtered: bool, scoped: bool
) -> str:
    """Read a page: the job's columns, its content, and its key at the end."""
    columns = ", ".join(section.key_of(one_queue))
    where = _where(section, one_queue, after, up_to)
    if filtered:
        where = " AND ".join((where, *_filters_of(dialect, section, scoped)))
    job = dialect.found.format(**_JOB_OF, key="j.id = s.job")
    view = dialect.found.format(table=section.view, name="v", key="v.id = s.job" + _SAME.get(section.table, ""))
    payload = f"CASE WHEN :shown IS NULL OR j.size <= :shown THEN j.payload ELSE {dialect.no_bytes} END"
    return (
        f"SELECT {_JOB}, j.type, j.content_type, {payload}, {columns} FROM {section.table} s {job} {view}"
        f" WHERE {where} ORDER BY {_order(section, one_queue)} LIMIT :limit"
    )


@cache
def count_sql(dialect: Dialect, section: Section, one_queue: bool, after: bool, up_to: bool, scoped: bool) -> str:
    """Count the rows that match, among those up to the bound."""
    where = " AND ".join((_where(section, one_queue, after, up_to), *_filters_of(dialect, section, scoped)))
    job = dialect.found.format(**_JOB_OF, key="j.id = s.job")
    return f"SELECT count(*) FROM {section.table} s {job} WHERE {where}"


@cache
def ids_sql(dialect: Dialect, section: Section, one_queue: bool, scoped: bool) -> str:
    """Read the next :scanned ids of one state behind :after and below :below, in their order."""
    where = _where(section, one_queue, after=False, up_to=False)
    seen = f" AND ({dialect.is_seen}) IS TRUE" if scoped else ""
    return f"SELECT s.job FROM {section.table} s WHERE {where} AND s.job > :after AND s.job < :below{seen} ORDER BY s.job LIMIT :scanned"


@cache
def matching_sql(dialect: Dialect) -> str:
    """Of the jobs with the :ids, those that match."""
    holder = "s.worker = :worker OR EXISTS (SELECT 1 FROM leased l WHERE l.job = j.id AND l.worker = :worker)"
    where = " AND ".join(_filters(dialect, False, "coalesce(s.ended_at, j.created_at)", holder, "s.reason"))
    job = dialect.found.format(**_JOB_OF, key="j.id = i.value")
    return f"SELECT j.id FROM {dialect.ids} {job} LEFT JOIN ended s ON s.job = j.id WHERE {where}"
