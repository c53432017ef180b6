"""Where Patroni looks after a server, the doctor never tells anybody to change what Patroni owns: it would be undone."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from holdfast.stores.postgres.doctor import judge
from holdfast.stores.postgres.examine import examine
from holdfast.stores.postgres.facts import Facts, Other, Override, Setting, Snapshot, Standby

OWNED = (
    "ALTER SYSTEM",
    "pg_reload_conf",
    "Set synchronous_standby_names",
    "primary_conninfo",
    "and restart",
    "set hot_standby_feedback",
)
VALUES = {
    "autovacuum": ["on", "off"],
    "data_checksums": ["on", "off"],
    "data_sync_retry": ["on", "off"],
    "fsync": ["on", "off"],
    "full_page_writes": ["on", "off"],
    "max_slot_wal_keep_size": ["-1", "4096"],
    "synchronous_commit": ["on", "off", "local", "remote_write"],
    "synchronous_standby_names": ["", "*", "ANY 1 (n2, n3)", "ANY 2 (n2, n2)", "ANY 3 (n2, n3)", "FIRST 1 (*)"],
    "wal_level": ["replica", "minimal"],
}
settings = st.fixed_dictionaries(
    {name: st.builds(Setting, st.sampled_from(each), st.just("file")) for name, each in VALUES.items()}
)
standbys = st.lists(
    st.builds(
        Standby,
        st.sampled_from(["n2", "n3", "n4"]),
        st.sampled_from(["streaming", "catchup"]),
        st.sampled_from(["quorum", "async", "sync"]),
    ),
    max_size=4,
).map(tuple)
facts = st.builds(
    Facts,
    version=st.sampled_from([14, 16]),
    role=st.just("holdfast"),
    database=st.just("holdfast"),
    encoding=st.sampled_from(["UTF8", "LATIN1"]),
    in_recovery=st.booleans(),
    pooled=st.booleans(),
    sees_standbys=st.booleans(),
    settings=settings,
    overrides=st.sampled_from([(), (Override("holdfast", None, "synchronous_commit", "off"),)]),
    standbys=standbys,
    slots=st.integers(0, 2),
    snapshots=st.sampled_from([(), (Snapshot("pid 1", 5, 4_000),)]),
    others=st.builds(lambda values: (Other("b:5432", values),), settings),
    silent=st.sampled_from([(), ("c:5432",)]),
    patroni=st.just(True),
)


@given(facts, st.integers(0, 3))
def test_no_advice_changes_what_patroni_owns(seen, replicas):
    for finding in judge(seen, replicas):
        assert not [words for words in OWNED if words in finding.mend], finding
        assert "{" not in finding.mend


async def test_patroni_is_known_by_its_connections(group):
    assert not (await examine(group.url)).patroni
    with group.primary.connect(application_name="Patroni heartbeat"):
        assert (await asyncio.create_task(examine(group.url))).patroni
