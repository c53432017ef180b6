"""`python -m fuzz`: attacks a server for some time and prints figures and findings. Exits with 1 if there are findings."""

from __future__ import annotations

import asyncio
import secrets
import signal
import sys
import tempfile
from pathlib import Path

import click

from fuzz import report, shrink
from fuzz.case import Case, read
from fuzz.trial import DOORS, Figures, attack


@click.command(help="Send a Holdfast server malformed and hostile requests, and check what it does.")
@click.option("--minutes", default=2.0, show_default=True, help="How long to run.")
@click.option("--times", default=1, show_default=True, help="Attacks one after the other, with memory measured after each.")
@click.option(
    "--door", "doors", multiple=True, type=click.Choice(list(DOORS)), help="Only this door; may be given more than once."
)
@click.option("--seed", help="Repeat the cases of a run; the timing differs.")
@click.option("--store", default="", metavar="URL", help="A store other than a file, such as memory or postgresql://…")
@click.option("--fronts", default=1, show_default=True, help="Front processes of the server.")
@click.option(
    "--keep",
    type=click.Path(path_type=Path),
    default=Path("fuzz-found"),
    show_default=True,
    help="The folder for cases with findings.",
)
@click.option(
    "--replay",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    help="Only play this case; may be given more than once.",
)
def main(
    minutes: float,
    times: int,
    doors: tuple[str, ...],
    seed: str | None,
    store: str,
    fronts: int,
    keep: Path,
    replay: tuple[Path, ...],
) -> None:
    """See the help text."""
    if replay:
        sys.exit(asyncio.run(play_again([read(file) for file in replay])))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the server ends with it
    seed = seed or secrets.token_hex(4)
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="holdfast-fuzz-") as folder:
        home = Path(folder) / "server"
        figures = asyncio.run(attack(home, seed, list(doors or DOORS), minutes * 60, store, fronts, times=times))
        print(report.text(figures), flush=True)
        if figures.findings:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / "server.log").write_bytes((Path(folder) / "server" / "server.log").read_bytes())
            asyncio.run(tell(figures, Path(folder) / "again", keep, seed))
    sys.exit(1 if figures.findings else 0)


async def tell(figures: Figures, home: Path, keep: Path, seed: str) -> None:
    """Minimize each finding, write it to a file, and print it."""
    for number, finding in enumerate(figures.findings):
        print(f"\n{number}: {finding.what}")
        found = await shrink.shrunk(finding, home) if finding.case or finding.suspects else None
        case: Case | None = found[0] if found else finding.case
        if case is None:
            print("   (no single case reproduces it)")
            continue
        file = case.keep(keep, f"{seed}-{number}", found[1] if found else f"not reproduced: {finding.what}")
        print(
            f"   {file}: {case.name}{'' if found else ' (not reproduced)'}\n   {[value for _, value in case.steps][:6]!r:.600}",
            flush=True,
        )


async def play_again(cases: list[Case]) -> int:
    """1 if any of these is still wrong, else 0."""
    bad = 0
    with tempfile.TemporaryDirectory(prefix="holdfast-fuzz-") as folder:
        async with shrink.served(Path(folder)) as server:
            for case in cases:
                said = await shrink.replayed(case, server)
                bad += said is not None
                print(f"{case.name}: {said or 'ok'}")
    return 1 if bad else 0


if __name__ == "__main__":
    main()
