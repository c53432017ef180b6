"""How to fix a finding where Patroni manages the server: it owns the settings, and reverts direct changes."""

from typing import Protocol

_SET = "patronictl edit-config, and under postgresql: parameters: {what}."
_RESTART = " Then patronictl restart."
_QUORUM = (
    "patronictl edit-config: synchronous_mode: quorum, synchronous_mode_strict: true, synchronous_node_count: {replicas}. "
    "Patroni itself writes synchronous_standby_names."
)
_MENDS = {
    "fsync_off": _SET.format(what="fsync: 'on'"),
    "full_page_writes_off": _SET.format(what="full_page_writes: 'on'"),
    "data_sync_retry_on": _SET.format(what="data_sync_retry: 'off'") + _RESTART,
    "synchronous_commit_weak": _SET.format(what="synchronous_commit: 'on'"),
    "wal_level_minimal": _SET.format(what="wal_level: replica") + _RESTART,
    "names_empty": _QUORUM,
    "names_anybody": _QUORUM,
    "names_not_enough": _QUORUM,
    "standby_async": "Take the tag nosync out of its patroni.yml and patronictl reload, or leave it as a copy: with the tag nofailover too.",
    "standby_name_shared": "Give each a `name` of its own in its patroni.yml; Patroni reads it when it starts.",
    "standbys_not_in_sync": "Start Patroni on the machines that are missing, or patronictl reinit there. See patronictl list.",
    "standby_missing": "Start Patroni there, or patronictl reinit. See patronictl list.",
    "data_checksums_off": "patronictl pause, stop PostgreSQL on every node, pg_checksums --enable on each, start them, patronictl resume.",
    "autovacuum_off": _SET.format(what="autovacuum: 'on'"),
    "slot_unbounded": _SET.format(what="max_slot_wal_keep_size: what the disk can spare"),
    "snapshot_old": "End that transaction (pg_terminate_backend), drop the slot unless it is a member's, or patronictl edit-config: "
    "hot_standby_feedback: 'off'.",
}


class Found(Protocol):
    """The part of a finding that counts here."""

    @property
    def code(self) -> str:
        """Its stable code."""
        ...

    @property
    def mend(self) -> str:
        """The fix where the server is not managed."""
        ...

    @property
    def passes(self) -> bool:
        """Whether it may resolve itself."""
        ...


def mend_on_patroni(finding: Found, replicas: int) -> str:
    """The fix under Patroni; findings that Patroni does not affect stay as they are."""
    if finding.code == "names_too_few":
        waits = "Start the standbys that are missing: Patroni lets commits wait for fewer while one is away. If that lasts: "
        return (waits if finding.passes else "") + _QUORUM.format(replicas=replicas)
    mend = _MENDS.get(finding.code.removeprefix("standby_") if finding.code.startswith(_ON_STANDBYS) else finding.code)
    return finding.mend if mend is None else mend.format(replicas=replicas)


_ON_STANDBYS = ("standby_fsync", "standby_full_page_writes", "standby_data_sync_retry")
