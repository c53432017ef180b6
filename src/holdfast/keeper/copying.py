"""The process that makes one scheduled backup: `python -m holdfast.keeper.copying STORE BACKUP SPARE-BYTES`.

A process of its own, because verifying a copy takes seconds of Python, which commits would wait for. It ends with the keeper, whose end of its
standard input closes then.
"""

import contextlib
import os
import sys
import threading
from pathlib import Path

from holdfast.stores.sqlite.copies import backup
from holdfast.stores.sqlite.files import UnfitPlace

_NICE = 10


def main() -> None:
    """Copy; the reason of a failure is the last line of standard error."""
    threading.Thread(target=_end_with_keeper, daemon=True).start()
    with contextlib.suppress(OSError):  # a unit may forbid it
        os.nice(_NICE)
    store, target, spare_bytes = sys.argv[1:]
    try:
        backup(Path(store), Path(target), int(spare_bytes), gently=True)
    except (UnfitPlace, OSError) as error:
        sys.exit(str(error))


def _end_with_keeper() -> None:
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    main()
