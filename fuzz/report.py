"""The figures of a run, as a table."""

from __future__ import annotations

from fuzz.trial import Figures

_MIB = 1 << 20


def text(figures: Figures) -> str:
    """All figures, one per line."""
    cases = ", ".join(f"{door} {count:,}" for door, count in sorted(figures.cases.items()))
    statuses = ", ".join(f"{status} {count:,}" for status, count in sorted(figures.statuses.items()))
    of_each = ", ".join(f"{name} {before / _MIB:.1f} to {after / _MIB:.1f}" for name, before, after in figures.of_each)
    lines = [
        f"minutes            {figures.seconds / 60:.1f}",
        f"connections        {sum(figures.cases.values()):,} ({cases})",
        f"bytes sent         {figures.sent_bytes / _MIB:,.0f} MiB",
        f"answers of HTTP    {statuses}",
        f"memory             {figures.before_bytes / _MIB:.1f} MiB before, {figures.peak_bytes / _MIB:.0f} at most, {figures.after_bytes / _MIB:.1f} afterwards ({of_each})",
        f"after each attack  {', '.join(f'{size / _MIB:.1f}' for size in figures.levels)} MiB",
        f"honest callers     {figures.honest_calls:,} calls, p99 {figures.honest_p99_ms:.0f} ms, {figures.refused} refused by a limit; {figures.honest_jobs:,} jobs looked for",
        f"found              {sum(figures.kinds.values())}",
        *[f"  {count:5} × {kind}" for kind, count in figures.kinds.most_common()],
    ]
    return "\n".join(lines)
