"""The disk that loses its power is another one once it is mounted again, whoever else still has the one of before."""

import os
import subprocess

from tests.missing import missing
from torture.faults import disk


def test_after_a_power_cut_it_works_though_a_container_holds_what_was_mounted(tmp_path):
    if lacks := disk.unavailable():
        missing("a disk that loses its power", lacks)
    one = disk.Disk(tmp_path / "disk.img", tmp_path / "disk", 20_000_000)
    one.mount()
    try:
        with (one.at / "kept").open("w") as file:
            file.write("kept")
            file.flush()
            os.fsync(file.fileno())
        holder = subprocess.Popen(["unshare", "--mount", "sh", "-c", "echo; exec sleep 60"], stdout=subprocess.PIPE)
        try:
            assert holder.stdout is not None
            holder.stdout.readline()  # it has a namespace of its own
            one.cut_power()
            one.unmount()
            one.mount()
            assert (one.at / "kept").read_text() == "kept"
            (one.at / "new").write_text("new")
        finally:
            holder.kill()
            holder.communicate()
    finally:
        one.unmount()
