"""What one connection does: bytes in segments, pauses, and how it ends. It can be stored as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parent / "corpus"
SEND, PAUSE = "send", "pause"
HALF, RESET, CLOSE = (
    "half",
    "reset",
    "close",
)  # how it ends: half-closed (nothing more is sent); reset; closed by the server, or else by us


@dataclass(slots=True)
class Case:
    """`answers` are the methods (HTTP) or commands (beanstalkd) that must each be answered; None if the framing is corrupted,
    so that their number is unknown.
    """

    door: str
    name: str
    steps: list[tuple[str, bytes | float]]
    end: str = HALF
    reads: bool = True  # False: it never reads the answers
    answers: list[str] | None = None
    notes: list[str] = field(default_factory=list)  # what was corrupted

    @property
    def sent(self) -> bytes:
        """All that it sends."""
        return b"".join(value for _, value in self.steps if isinstance(value, bytes))

    def to_json(self) -> dict[str, Any]:
        """For a file: bytes as Latin-1."""
        steps = [[what, value.decode("latin-1") if isinstance(value, bytes) else value] for what, value in self.steps]
        return {
            "door": self.door,
            "name": self.name,
            "notes": self.notes,
            "reads": self.reads,
            "end": self.end,
            "answers": self.answers,
            "steps": steps,
        }

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Case:
        """The reverse of `to_json`."""
        steps = [(what, value.encode("latin-1") if isinstance(value, str) else value) for what, value in kept["steps"]]
        return cls(kept["door"], kept["name"], steps, kept["end"], kept["reads"], kept["answers"], kept.get("notes", []))

    def keep(self, folder: Path, name: str, about: str) -> Path:
        """Write it to a file, with what was wrong."""
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{name}.json"
        file.write_text(json.dumps({"about": about, **self.to_json()}, indent=1, ensure_ascii=True) + "\n")
        return file


def read(file: Path) -> Case:
    """Read a case from a file."""
    return Case.from_json(json.loads(file.read_text()))


def corpus() -> list[Path]:
    """The files of all stored cases."""
    return sorted(CORPUS.glob("*.json"))
