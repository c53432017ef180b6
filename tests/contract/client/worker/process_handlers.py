"""Handlers that run in processes of their own: they are found there by their names."""

import ctypes
import os
import signal
import sys
import time

from holdfast import DoNotRetry, RetryIn


class Unpicklable(Exception):
    def __init__(self, a, b):
        super().__init__("can't be made again")

    def __reduce__(self):
        raise TypeError("never")


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no words")


def kill(job):
    os.kill(os.getpid(), getattr(signal, job.payload))
    time.sleep(30)


def leave(job):
    os._exit(job.payload)


def segfault(job):

    ctypes.string_at(0)


def orphan(job):
    """It leaves a process behind that holds all of its pipes open."""
    if not os.fork():
        time.sleep(20)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)


def pid(job):
    return os.getpid()


def end(job):
    how = job.payload
    if how == "unpicklable":
        raise Unpicklable(1, 2)
    if how == "mute":
        raise Mute
    if how == "surrogate":
        raise ValueError("\udcff.txt")
    if how == "group":
        raise ExceptionGroup("several", [ValueError("a"), Mute()])
    if how == "exit":
        sys.exit(3)
    if how == "interrupt":
        raise KeyboardInterrupt
    if how == "recursion":
        return end(job)
    if how == "delay nan":
        raise RetryIn(float("nan"))
    if how == "never":
        raise DoNotRetry("\udcff")
    return {"object": object(), "nan": float("nan"), "generator": (n for n in ()), "large": "x" * 2_000_000}[how]
