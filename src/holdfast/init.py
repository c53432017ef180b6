"""What process 1 of a container has to do, beside its own work.

    process 1 (this)   passes signals on; collects every process that ended and has no parent left
        └── process 2  what was asked for: `holdfast serve`, a worker …

Process 1 becomes the parent of every process whose own parent ended first: of a health check that ran into its timeout, of what a job's
program left behind. Until their parent collects them, they stay as zombies and count against the container's limit of processes. And the
kernel gives process 1 no signal that it has no handler for. So the work is done by a child, for which everything is as on any machine.
When that child ends, the container ends with its exit code. With `docker run --init` somebody else is process 1, and nothing here is done.
"""

import os
import signal

_PASSED_ON = {
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH,
}  # fmt: skip
_SENT_BY_KERNEL = 0x80  # SI_KERNEL: of Ctrl-C, which the terminal sends to the child as well


def begin() -> None:
    """Go on in a child, and stay as its process 1; before any thread is started."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*_PASSED_ON, signal.SIGCHLD})
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return
    os._exit(_watch(child))


def _watch(child: int) -> int:
    """Until the child ends; its exit code, as a shell tells it."""
    while True:
        told = signal.sigwaitinfo({*_PASSED_ON, signal.SIGCHLD})
        if told.si_signo != signal.SIGCHLD:
            if told.si_code != _SENT_BY_KERNEL:
                os.kill(child, told.si_signo)
            continue
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == child:
                code = os.waitstatus_to_exitcode(ended[1])
                return code if code >= 0 else 128 - code
