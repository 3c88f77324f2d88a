"""A worker as a child of another process: how its end reads, and how it dies with its parent."""

import signal
import sys
from collections.abc import Sequence

from chanattn.sweep.launchers.base import Ended, Job

# Becomes the command in its arguments, after asking the kernel for SIGKILL when the parent dies (prctl(2),
# PR_SET_PDEATHSIG, kept across exec). The parent may have died before it could ask.
_TETHER = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execvp(sys.argv[2], sys.argv[2:])
"""


def tethered(command: Sequence[str], parent: int) -> list[str]:
    """The command, such that the kernel kills it at once when its parent process dies (Linux only).

    Args:
        command: program and arguments.
        parent: process that starts it; the thread that does so must live as long as the child.
    """
    return [sys.executable, "-c", _TETHER, str(parent), *command]


def ended(job: Job, returncode: int) -> Ended:
    """What `subprocess` says of a worker that has ended, in the words of a launcher.

    Args:
        job: what it worked on.
        returncode: its exit code, or minus the number of the signal that killed it.
    """
    if returncode >= 0:
        return Ended(job, returncode)
    return Ended(job, None, f"killed by {signal.Signals(-returncode).name}")
