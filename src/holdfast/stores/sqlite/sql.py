"""The statements, one file each under `statements/`, loaded by name: what runs is what can be read.

Inserts of many rows also exist with their row of placeholders repeated: one step of SQLite's virtual machine for 32 rows
instead of 32 saves a fifth of the cost of a job's rows.
"""

from importlib.resources import files

_FOLDER = files(__package__) / "statements"
ROWS_AT_ONCE = 32  # times the 16 columns of the widest table: far below SQLite's bound on parameters
SQL: dict[str, str] = {
    entry.name.removesuffix(".sql"): entry.read_text() for entry in _FOLDER.iterdir() if entry.name.endswith(".sql")
}


def _many_at_once(statement: str) -> str:
    head, row = statement.rstrip().split("VALUES ")
    return f"{head}VALUES {', '.join([row] * ROWS_AT_ONCE)}"


def _bare(statement: str) -> str:
    """The same jobs from an offset on, without their contents."""
    return f"{statement.rstrip().replace('j.type, j.content_type, j.payload', 'NULL')} OFFSET ?"


BARE = {
    name: _bare(SQL[name])
    for name in ("next_ready", "next_ready_for", "next_ready_at", "next_ready_for_types", "leased_by_request")
}
MANY_AT_ONCE = {
    name: _many_at_once(SQL[name])
    for name in ("insert_job", "insert_ready", "insert_ready_fair", "insert_leased", "insert_ended", "save_fair_line")
}
