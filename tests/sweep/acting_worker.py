"""A stand-in for the worker of a sweep that needs no JAX: `python acting_worker.py FOLDER ROLE`.

It adds a line to FOLDER/starts each time, on SIGTERM one to FOLDER/signals, and one to FOLDER/saves before
it leaves with 75. Its role: a number is the exit code that it leaves with at once; `twice` waits for a signal
the first time and is done the second time; `young` as well, but does not know yet how to save;
`long` always waits; `hangs` does too, and no signal but SIGKILL ends it; `short` takes two seconds and
`quick` no time, and both stay for the next run.

With the flags of a worker, FOLDER is its --workdir, and ROLE the name of the folder that this lies in.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

flags = dict(word.removeprefix("--").split("=", 1) for word in sys.argv[1:] if "=" in word)
if "workdir" in flags:
    folder = Path(flags["workdir"])
    role = folder.parent.name
else:
    folder, role = Path(sys.argv[1]), sys.argv[2]
folder.mkdir(parents=True, exist_ok=True)


def note(what: str) -> int:
    """Adds a line, and returns how many there are."""
    path = folder / what
    with path.open("a") as file:
        file.write(f"{os.getpid()}\n")
    return len(path.read_text().splitlines())


def save(number: int, frame: object) -> None:
    """Takes a moment, as a checkpoint does."""
    note("signals")
    time.sleep(0.3)
    note("saves")
    sys.exit(75)


handlers = {"hangs": signal.SIG_IGN, "young": signal.SIG_DFL}
signal.signal(signal.SIGTERM, handlers.get(role, save))
print("the worker speaks", flush=True)
starts = note("starts")
if role.isdigit():
    sys.exit(int(role))
if role in {"twice", "young"} and starts > 1:
    sys.exit(0)
if "jobs" in flags:
    jobs = os.fdopen(int(flags["jobs"]))
    while role in {"quick", "short"}:
        time.sleep(2 if role == "short" else 0)
        os.write(int(flags["done"]), b"!")
        if not (line := jobs.readline()):
            sys.exit(0)
        folder = Path(json.loads(line)["workdir"])
        folder.mkdir(parents=True, exist_ok=True)
        role = folder.parent.name
        note("starts")
        if role.isdigit():
            sys.exit(int(role))
time.sleep(120)
sys.exit(3)
