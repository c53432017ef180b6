"""The settings of a PostgreSQL server that would break the promise, what each of them means, and how to fix it.

A pure evaluation of what `examine.py` has read, so that `holdfast doctor` and the check at the start of a server agree. A
finding *breaks* the promise, or it is a warning: the promise holds, but something else will fail. A finding that *passes* may
resolve itself (a standby that is being replaced): a server may start with it, and accepts nothing until it is resolved. A
finding that breaks and does not pass *stops* a server with `--replicas` (`start_check.py`).

That a standby has flushed does not rest on this check: each commit is proven (`replication.py`). What flushing is worth does (fsync).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from holdfast import units
from holdfast.stores.postgres.facts import WEAK, Facts, Setting
from holdfast.stores.postgres.managed import mend_on_patroni
from holdfast.stores.postgres.pooler import DIRECT

POOLER = "pooler_between"
VERSION_OLDEST = 15  # the oldest that is tested
SNAPSHOT_S = 300  # an honest transaction is over by then
SNAPSHOT_AGE = 1_000_000  # in transactions, if no time is known


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem: a stable code, what was found, what it means, and how to fix it."""

    code: str
    seen: str
    means: str
    mend: str
    breaks: bool = True
    passes: bool = False

    @property
    def stops(self) -> bool:
        """Whether it stops a server that promises standbys: an operator has to fix it."""
        return self.breaks and not self.passes


@dataclass(frozen=True, slots=True)
class Waiting:
    """`synchronous_standby_names`, understood: for how many of which names a commit waits."""

    number: int
    names: tuple[str, ...]

    @property
    def anybody(self) -> bool:
        """Whether any name will do."""
        return "*" in self.names


def waiting(names: str) -> Waiting:
    """Parse it: `ANY 2 (a, b)`, `FIRST 2 (a, b)`, `2 (a, b)`, or `a, b`, which is FIRST 1. Names are compared in lower case."""
    found = re.fullmatch(r"\s*(?:(?:any|first)\s+)?(\d+)\s*\((.*)\)\s*", names, re.IGNORECASE | re.DOTALL)
    number, inner = (int(found[1]), found[2]) if found else (1, names)
    each = re.findall(r'"((?:[^"]|"")*)"|([^\s,"]+)', inner)
    listed = tuple((quoted.replace('""', '"') or bare).lower() for quoted, bare in each)
    return Waiting(number if listed else 0, listed)


def judge(facts: Facts, replicas: int, counted: tuple[str, ...] = (), snapshot_s: int = SNAPSHOT_S) -> list[Finding]:
    """All problems for K = `replicas`; those that break the promise first.

    `counted` are the standbys that alone count for a proof; without any, those of `synchronous_standby_names`.
    """
    found = [*_server(facts), *_disk(facts), *_commit(facts)]
    if replicas:
        found += _replication(facts, replicas, counted)
    found += [*_unseen(facts), *_warnings(facts, snapshot_s)]
    if facts.patroni:
        found = [replace(finding, mend=mend_on_patroni(finding, replicas)) for finding in found]
    return sorted(found, key=lambda finding: not finding.breaks)


def _server(facts: Facts) -> Iterator[Finding]:
    if facts.version < VERSION_OLDEST:
        yield Finding(
            "server_too_old",
            f"The server is PostgreSQL {facts.version}.",
            f"Holdfast is tested from {VERSION_OLDEST} on, and starts on nothing older.",
            "Upgrade PostgreSQL.",
        )
    if facts.encoding != "UTF8":
        yield Finding(
            "encoding_not_utf8",
            f"The database {facts.database} is encoded in {facts.encoding}.",
            "Names and texts could not be kept as they came.",
            "CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0, and name that one in the store's URL.",
        )
    if facts.in_recovery:
        yield Finding(
            "no_primary",
            "No server that the URL names takes writes: this one is a standby.",
            "Nothing can be accepted.",
            "Name every node of the cluster in the URL: postgresql://…@a,b,c/…. While a new primary is chosen, wait.",
            passes=True,
        )
    elif facts.setting("default_transaction_read_only") == "on":
        whose = [one.whose for one in facts.overrides if one.read_only and one.role in (None, facts.role)]
        reset = [f"ALTER {one} RESET default_transaction_read_only" for one in whose]
        yield Finding(
            "read_only",
            f"default_transaction_read_only is on for {' and '.join(whose) or 'the whole server'}.",
            "Holdfast writes nothing past it, so nothing can be accepted.",
            f"{'; '.join(reset) or 'ALTER SYSTEM RESET default_transaction_read_only, and SELECT pg_reload_conf()'}. "
            "A service that sets it when its disk is full wants room first.",
            passes=True,
        )
    if facts.pooled:
        yield Finding(
            POOLER,
            "A connection pooler such as PgBouncer stands between Holdfast and PostgreSQL.",
            "A session loses its settings, its LISTEN, its prepared statements and its locks there, and a commit is proven on another connection than its own.",
            DIRECT,
        )
    if not facts.makes_schema:
        yield Finding(
            "schema_forbidden",
            f"The role {facts.role} may not create the schema holdfast in the database {facts.database}.",
            "A server can't make its tables, so nothing can be accepted.",
            f"GRANT CREATE ON DATABASE {facts.database} TO {facts.role}, or let it own the database.",
            passes=True,
        )


def _disk(facts: Facts) -> Iterator[Finding]:
    for name, value, means in _risks(facts.settings):
        yield Finding(f"{name}_{value}", f"{name} is {value}.", means, _RIGHT[name])


def _disks_of_others(facts: Facts) -> Iterator[Finding]:
    """The proof is a standby's report that it has flushed, and that standby may be promoted."""
    for other in facts.others:
        for name, value, means in _risks(other.settings):
            seen = f"{name} is {value} on the standby at {other.address}."
            yield Finding(
                f"standby_{name}_{value}", seen, f"It counts for a commit. {means}", f"On that server: {_RIGHT[name]}"
            )


def _risks(settings: Mapping[str, Setting]) -> Iterator[tuple[str, str, str]]:
    for name, (bad, means) in _RISKY.items():
        if name in settings and settings[name].value == bad:
            yield name, bad, means


_RISKY = {
    "fsync": ("off", "A crash of the machine may lose, or spoil, everything that was answered."),
    "full_page_writes": ("off", "A crash of the machine may leave half-written pages that nothing can repair."),
    "data_sync_retry": ("on", "A flush that failed is tried again and then believed, though the data may be gone."),
}
"""A setting, its value that is dangerous, and what for."""

_RIGHT = {
    "fsync": "ALTER SYSTEM SET fsync = on, and SELECT pg_reload_conf(). On Patroni: patronictl edit-config.",
    "full_page_writes": "ALTER SYSTEM SET full_page_writes = on, and SELECT pg_reload_conf(). On Patroni: patronictl edit-config.",
    "data_sync_retry": "ALTER SYSTEM SET data_sync_retry = off, and restart. On Patroni: patronictl edit-config.",
}


def _commit(facts: Facts) -> Iterator[Finding]:
    means = "Holdfast asks for its own commits, but jobs that an application puts in its own transaction are answered unproven"
    for override in facts.overrides:
        if not override.weak:
            continue
        ours = override.role in (None, facts.role)
        yield Finding(
            "synchronous_commit_overridden",
            f"{override.whose} has synchronous_commit = {override.value}.",
            f"{means}, and are lost with the machine.",
            f"ALTER {override.whose} RESET synchronous_commit",
            breaks=ours,
        )
    commit = facts.settings.get("synchronous_commit")
    if commit and commit.value in WEAK and commit.source not in ("global", "database", "user", "database user"):
        yield Finding(
            "synchronous_commit_weak",
            f"synchronous_commit is {commit.value} for the whole server ({commit.source}).",
            f"{means}, and are lost with the machine.",
            "ALTER SYSTEM SET synchronous_commit = 'on', and SELECT pg_reload_conf(). On Patroni: patronictl edit-config.",
        )


def _replication(facts: Facts, replicas: int, counted: tuple[str, ...]) -> Iterator[Finding]:
    if facts.setting("wal_level") == "minimal":
        yield Finding(
            "wal_level_minimal",
            "wal_level is minimal.",
            "No standby can stream from this server.",
            "ALTER SYSTEM SET wal_level = 'replica', and restart.",
        )
    if not facts.in_recovery:  # a standby's own names do not count
        yield from _names(facts, replicas, counted)
        yield from _disks_of_others(facts)
    if not facts.sees_standbys:
        yield Finding(
            "monitor_missing",
            f"The role {facts.role} may not see the standbys.",
            "No commit can be proven, so nothing is accepted.",
            f"GRANT pg_monitor TO {facts.role}",
        )
        return
    if not facts.in_recovery:
        yield from _standbys(facts, replicas, counted)


def _names(facts: Facts, replicas: int, counted: tuple[str, ...]) -> Iterator[Finding]:
    text = facts.setting("synchronous_standby_names")
    wait = waiting(text)
    how = "Set synchronous_standby_names to 'ANY {k} (name, name, …)' with the application_name of every standby"
    mend = (
        how.format(k=replicas)
        + f", and reload. On Patroni: synchronous_mode: quorum, synchronous_mode_strict: true, synchronous_node_count: {replicas}. "
        "Where a service keeps that setting to itself, serve with --replicas 0."
    )
    if not wait.names:
        yield Finding(
            "names_empty",
            "synchronous_standby_names is empty.",
            "A commit waits for no standby. Holdfast notices after the fact, and answers outcome_unknown.",
            mend,
        )
    elif wait.anybody:
        yield Finding(
            "names_anybody",
            f"synchronous_standby_names is {text!r}: any name will do.",
            "Whatever streams ends a wait, a backup that is being taken too. Holdfast counts only standbys that are named: here, or by --standbys.",
            mend,
            breaks=not counted,
            passes=not facts.standbys,  # what Patroni's strict mode sets while there is no standby to name
        )
    elif wait.number < replicas:
        away = sum(standby.state == "streaming" for standby in facts.standbys) < replicas
        yield Finding(
            "names_too_few",
            f"synchronous_standby_names is {text!r}: a commit waits for {wait.number}, and K is {replicas}.",
            "A job can be seen, and lost again, before K standbys have it.",
            f"Start the standbys that are missing: Patroni lets commits wait for fewer while one is away. If that lasts: {mend}"
            if away
            else mend,
            passes=away,
        )
    elif len(set(wait.names)) < wait.number:
        yield Finding(
            "names_not_enough",
            f"synchronous_standby_names is {text!r}: a commit waits for {wait.number} of {len(set(wait.names))}.",
            "No commit ever returns.",
            mend,
        )


def _standbys(facts: Facts, replicas: int, counted: tuple[str, ...]) -> Iterator[Finding]:
    wait = waiting(facts.setting("synchronous_standby_names"))
    streaming = [standby.name for standby in facts.standbys if standby.state == "streaming"]
    in_sync = [standby for standby in facts.standbys if standby.in_sync and (not counted or standby.name in counted)]
    missing = [name for name in wait.names if name != "*" and name not in {one.lower() for one in streaming}]
    if len(in_sync) < max(replicas, wait.number):
        yield Finding(
            "standbys_not_in_sync",
            f"{units.counted(len(in_sync), 'standby')} {units.is_or_are(len(in_sync))} in sync; K is {replicas}, and a commit waits for {wait.number}."
            + (f" Missing: {', '.join(missing)}." if missing else ""),
            "Nothing is accepted until they are back (503 not_replicated).",
            "Start the standbys that are missing, or put fresh ones in their place. See pg_stat_replication on the primary.",
            passes=True,
        )
    elif missing:
        yield Finding(
            "standby_missing",
            f"These standbys are named and do not stream: {', '.join(missing)}.",
            "One more lost, and nothing is accepted.",
            "Start it, or put a fresh one in its place.",
            breaks=False,
            passes=True,
        )
    for standby in facts.standbys:
        if standby.state == "streaming" and standby.sync_state == "async" and not standby.name.startswith("pg_"):
            yield Finding(
                "standby_async",
                f"The standby {standby.name} streams asynchronously: synchronous_standby_names does not name it.",
                "It does not count, and may lack jobs that were answered: promote it last.",
                "Name it, or leave it as a copy that is never promoted.",
                breaks=False,
            )
    for name in sorted({name for name in streaming if streaming.count(name) > 1 and name.lower() in wait.names}):
        yield Finding(
            "standby_name_shared",
            f"Several standbys stream under the name {name}.",
            "They may be one machine. PostgreSQL counts them as several, Holdfast as one: with too few others nothing is proven.",
            "Give each its own application_name in primary_conninfo.",
        )


def _unseen(facts: Facts) -> Iterator[Finding]:
    if facts.unseen:
        yield Finding(
            "not_seen",
            f"The role {facts.role} can't see: {'; '.join(facts.unseen)}.",
            "What is wrong there is not told: that nothing is found does not mean that all is well.",
            f"GRANT pg_monitor TO {facts.role}, or ask whoever runs the server.",
            breaks=False,
        )


def _warnings(facts: Facts, snapshot_s: int) -> Iterator[Finding]:
    for address in facts.silent:
        yield Finding(
            "host_silent",
            f"The host {address} of the URL takes connections, or loses them, and does not answer.",
            "Nothing waits for it; but it can't take over, and what it knows is not seen here.",
            "See whether that machine, or its PostgreSQL, has stopped. A host that is gone for good does not belong in the URL.",
            breaks=False,
            passes=True,
        )
    if facts.setting("data_checksums") == "off":
        yield Finding(
            "data_checksums_off",
            "Data checksums are off.",
            "A page that the disk has spoiled is read as if it were sound.",
            "Stop the server, pg_checksums --enable, on every node.",
            breaks=False,
        )
    if facts.setting("autovacuum") == "off":
        yield Finding(
            "autovacuum_off",
            "autovacuum is off.",
            "The tables grow with every job, and are never reused.",
            "ALTER SYSTEM SET autovacuum = on, and SELECT pg_reload_conf().",
            breaks=False,
        )
    if facts.slots and facts.setting("max_slot_wal_keep_size") == "-1":
        yield Finding(
            "slot_unbounded",
            f"max_slot_wal_keep_size is unbounded, and there are {facts.slots} replication slots.",
            "A standby that stays away fills the primary's disk, and then everything stops.",
            "ALTER SYSTEM SET max_slot_wal_keep_size to what the disk can spare, and SELECT pg_reload_conf().",
            breaks=False,
        )
    for queue in facts.held:
        since = f" since {queue.seconds} s" if queue.seconds is not None else ""
        yield Finding(
            "queue_held",
            f"The queue {queue.name} is held{since}: {queue.who if queue.pid is not None else 'a prepared transaction'}.",
            "Commands that need this queue are refused (503 store_unavailable) until that transaction has ended; other queues are not affected.",
            f"Commit or roll back there, or SELECT pg_terminate_backend({queue.pid})."
            if queue.pid is not None
            else "COMMIT PREPARED or ROLLBACK PREPARED what pg_prepared_xacts lists.",
            breaks=False,
            passes=True,
        )
    for held in facts.snapshots:
        if held.seconds >= snapshot_s if held.seconds is not None else (held.age or 0) >= SNAPSHOT_AGE:
            since = f"{held.seconds} s" if held.seconds is not None else f"{held.age} transactions"
            yield Finding(
                "snapshot_old",
                f"An old snapshot is held since {since}: {held.who}.",
                "Nothing that was deleted since can be cleaned away: the tables grow, and every search gets slower.",
                "End that transaction (pg_terminate_backend), drop the slot, or set hot_standby_feedback = off.",
                breaks=False,
            )
