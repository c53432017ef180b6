"""The faults, related ones in one module. `ALL` is the order in which they run."""

from __future__ import annotations

from torture.faults.fault import Fault
from torture.faults.full import DiskFull
from torture.faults.greedy import Greedy
from torture.faults.kill import Calm, Deploy, KillFront, KillKeeper, KillServer
from torture.faults.order import AckOrder
from torture.faults.pause import Pause
from torture.faults.power import DiskDies, PowerLoss
from torture.faults.proxy import LostAnswers
from torture.faults.syscalls import ErrorAtSync, KillAtSync, KillAtWrite, NoSpaceAtWrite
from torture.faults.waiting import FreezeWaited, StepClock

ALL: dict[str, Fault] = {
    fault.name: fault
    for fault in (
        Calm(),
        AckOrder(),
        LostAnswers(),
        Pause("keeper"),
        Pause("server"),
        FreezeWaited(),
        StepClock(),
        Deploy(),
        KillServer(),
        KillKeeper(),
        KillFront(),
        KillAtSync(),
        KillAtWrite(),
        ErrorAtSync(),
        DiskDies(),
        NoSpaceAtWrite(),
        DiskFull(),
        Greedy(),
        PowerLoss(),
    )
}

__all__ = ["ALL", "Fault"]
