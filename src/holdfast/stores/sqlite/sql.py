"""The statements, one file each under `statements/`, loaded by name: what runs is what can be read."""

from importlib.resources import files

_FOLDER = files(__package__) / "statements"
SQL: dict[str, str] = {
    entry.name.removesuffix(".sql"): entry.read_text() for entry in _FOLDER.iterdir() if entry.name.endswith(".sql")
}
