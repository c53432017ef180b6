"""The check of the database at the start of a server: it reports what `holdfast doctor` reports, and refuses to start if an
operator has to fix it.

It only stops a server that promises standbys: one with `--replicas 0` promises as much as the primary's disk, and says so. A pooler in
between stops every server, because none can work through it.
"""

from collections.abc import Sequence

from holdfast.errors import StoreUnavailable
from holdfast.logs import structlog
from holdfast.stores.postgres.doctor import POOLER, Finding, judge
from holdfast.stores.postgres.examine import examine

log = structlog.get_logger(__name__)


async def refusal(url: str, replicas: int, standbys: tuple[str, ...], require_sound: bool) -> str | None:
    """Why no server must use this database, or None if one may. Raises `StoreUnavailable` while no primary can be reached."""
    facts = await examine(url)
    if facts.in_recovery:
        raise StoreUnavailable("No server that the URL names takes writes.", retry_after_ms=1_000)
    findings = judge(facts, replicas, standbys)
    strict = replicas > 0 and require_sound
    stopping = [finding for finding in findings if finding.stops and (strict or finding.code == POOLER)]
    for finding in findings:
        if finding not in stopping:
            tell = log.error if finding.breaks else log.warning
            tell(finding.seen, code=finding.code, means=finding.means, mend=finding.mend)
    return _told(stopping, replicas) if stopping else None


def _told(stopping: Sequence[Finding], replicas: int) -> str:
    for finding in stopping:
        if finding.code == POOLER:  # first of all: behind it nothing else is of use, and no option helps
            return f"{finding.seen} {finding.means} {finding.mend}"
    lines = [f"PostgreSQL would break the promise of replicas = {replicas}, so the server does not serve it:"]
    for finding in stopping:
        lines += [f"  {finding.code}: {finding.seen} {finding.means}", f"    Fix: {finding.mend}"]
    return "\n".join([*lines, "`holdfast doctor` looks again. --no-require-sound serves all the same."])
