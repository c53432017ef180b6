"""How many files, and so connections, a process may have open."""

import resource

WANTED = 65_536


def raise_files_limit() -> int:
    """Raise the limit of open files as far as the system lets us; servers started later inherit it. Returns the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (max(WANTED, hard), hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, max(limit, hard)))
        except (ValueError, OSError):
            continue
        break
    return files_allowed()


def files_allowed() -> int:
    """How many files this process, and one it starts, may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
