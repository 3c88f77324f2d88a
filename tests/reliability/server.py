"""Runs command-line programs, each in a process of its own, without importing the libraries each time.

    python -m tests.reliability.server     reads one request a line on standard input, answers one a line

The libraries are imported once, and no backend of JAX is started, so that the process has one thread and can
be forked: a program runs in the child as `python PROGRAM ARGUMENTS` would.
"""

import contextlib
import ctypes
import gc
import json
import os
import runpy
import signal
import sys
import traceback
import warnings
from typing import Any

import jax

_CAPABILITY_VERSION = 0x20080522
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1 << 1, 1 << 2


def main() -> None:
    """Serves requests until standard input ends."""
    import_libraries()
    # A collection in a child would copy every page that it looks at.
    gc.collect()
    gc.freeze()
    # With the backend started, every fork would warn; the children start their own.
    warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
    print(json.dumps({"threads": len(os.listdir("/proc/self/task"))}), flush=True)
    for line in sys.stdin:
        print(json.dumps({"code": serve(json.loads(line))}), flush=True)


def import_libraries() -> None:
    """What the programs import: only what defines no flags of absl at its import."""
    import optuna
    import scipy.stats
    import sklearn.datasets

    import chanattn.analysis.cost.measure
    import chanattn.data.prepare
    import chanattn.prediction.output
    import chanattn.report.sweep_report
    import chanattn.sweep.program
    import chanattn.training.evaluate_weights
    import chanattn.training.loop

    del optuna, scipy, sklearn, chanattn


def serve(request: dict[str, Any]) -> int:
    """Runs one program; its exit code, or minus the signal that ended it, as `subprocess` tells it."""
    child = os.fork()
    if not child:
        os._exit(_run(request))
    signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
    signal.alarm(request["seconds"])
    _, status = os.waitpid(child, 0)
    signal.alarm(0)
    return os.waitstatus_to_exitcode(status)


def _run(request: dict[str, Any]) -> int:
    _prepare(request)
    program, arguments = request["program"], request["arguments"]
    code: Any = 0
    try:
        sys.argv = [program, *arguments]
        if program.endswith(".py"):
            runpy.run_path(os.path.join(request["root"], program), run_name="__main__")
        else:
            runpy.run_module(program, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    if isinstance(code, str):
        print(code, file=sys.stderr)
        code = 1
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    return code or 0


def _prepare(request: dict[str, Any]) -> None:
    """Makes the child what a program started from the shell would find."""
    for number, name in ((0, os.devnull), (1, request["stdout"]), (2, request["stderr"])):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        os.dup2(os.open(name, flags, 0o666), number)
    for name, value in request["environment"].items():
        os.environ[name] = value
    for name in request["absent"]:  # as if it were not installed
        sys.modules[name] = None  # type: ignore[assignment]
    os.chdir(request["folder"])
    if "JAX_PLATFORMS" in request["environment"]:  # which JAX has read at its import
        jax.config.update("jax_platforms", request["environment"]["JAX_PLATFORMS"])
    if request["unprivileged"] and os.geteuid() == 0:
        _heed_permissions()


def _heed_permissions() -> None:
    """Takes from root the right to read and write what permissions forbid (capset(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; the same of the upper half
    if libc.capget(header, sets) == 0:
        for number in range(3):
            sets[number] &= ~(_DAC_OVERRIDE | _DAC_READ_SEARCH)
        if libc.capset(header, sets) == 0:
            return
    raise OSError(ctypes.get_errno(), "cannot drop capabilities")


if __name__ == "__main__":
    main()
