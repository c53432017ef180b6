"""What `holdfast.pyz` does first (`make pyz`): under another Python than it was made for, it says so in a sentence.

Its own first line names that Python. Once it has unpacked itself, this runs from a folder, and has nothing to say.
"""

import re
import sys
from pathlib import Path

packed = Path(__file__).parent
if packed.is_file():
    with packed.open("rb") as file:
        made_for = re.match(rb"#!/usr/bin/env python(\d+\.\d+)\s", file.readline(80))
    this = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if made_for and made_for[1].decode() != this:
        sys.exit(f"holdfast: this file is for Python {made_for[1].decode()}, and this is Python {this}")
