"""Trains one run of a sweep: what every launcher starts.

    python -m chanattn.sweep.worker --job_config=SWEEP/jobs/se_r4/seed0.json --workdir=SWEEP/runs/se_r4/seed0

The same as `train.py` with a config that is resolved already, and with the same exit codes; a run that was
begun is continued. The launcher appends what it prints to the file `output.log` of the run directory. With
--jobs and --done it stays for further runs, see `chanattn.sweep.staying`.
"""

import gc
import itertools
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from chanattn import cli, cores
from chanattn.errors import UsageError
from chanattn.runs.layout import OUTPUT
from chanattn.sweep.launchers.base import Job

DONE, LEAVES = b"!", b"."
"""What a worker that stays says of a run that is done: that it waits for another, or ends."""
PROGRAM = (sys.executable, "-m", "chanattn.sweep.worker")
_MOST_GROWTH = 2 * 2**30  # bytes of memory: some libraries lose a little with every run
_TOLD = ("job_config", "workdir", "cache")  # as `Job.told`


def command(
    job: Job, jobs: int | None = None, done: int | None = None, program: Sequence[str] = PROGRAM
) -> list[str]:
    """The command line that trains `job`, for `chanattn.sweep.watch.start`.

    Args:
        job: the run.
        jobs: file descriptor from which a worker that stays reads further ones; None: it does not stay.
        done: file descriptor on which it says that one is done.
        program: the words before the flags.
    """
    stays = [] if jobs is None else [f"--jobs={jobs}", f"--done={done}"]
    told = [f"--{name}={value}" for name, value in job.told().items()]
    return [*program, "--lifeline", *stays, *told]


def main() -> None:
    """Trains as the flags say."""
    cores.confine()
    given = flags.FLAGS
    if not given.job_config or not given.workdir:
        raise UsageError("--job_config=FILE and --workdir=DIRECTORY are required")
    if given.lifeline:
        threading.Thread(target=_stop_with_the_parent, daemon=True).start()
    from chanattn.training.reuse import Reuse

    first = {name: str(given[name].value) for name in _TOLD if given[name].value is not None}
    if given.jobs is None:
        _train(first, None)
        return
    reuse = Reuse()
    for told in itertools.chain([first], _further(given.jobs, given.done)):
        _train(told, reuse)


def _further(jobs: int, done: int) -> Iterator[dict[str, str]]:
    """The runs after the first, read from a pipe; what is printed then goes to the run's own file."""
    with os.fdopen(jobs, encoding="utf-8") as lines:
        gc.collect()
        gc.freeze()  # what stays for all runs need not be looked through after each
        first = _memory()
        while True:
            leaves = _memory() - first > _MOST_GROWTH
            os.write(done, LEAVES if leaves else DONE)  # of the run before
            if leaves:
                return
            line = lines.readline()
            if not line:
                return
            told = json.loads(line)
            _print_to(Path(told["workdir"]))
            yield told
            gc.collect()


def _memory() -> int:
    """Bytes that this process has in memory; 0 where that is not known."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _print_to(folder: Path) -> None:
    """Has standard output and error go to the run directory from now on."""
    folder.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    with (folder / OUTPUT).open("ab") as output:
        for number in (1, 2):
            os.dup2(output.fileno(), number)


def _train(told: Mapping[str, str], build: Any) -> None:
    """Trains one run, and draws its pictures."""
    sys.argv[1:] = [f"--{name}={value}" for name, value in told.items()]  # which the run records
    from chanattn.prediction.samples import draw_samples_of_run
    from chanattn.report.run_pictures import draw_run
    from chanattn.training import compilation_cache, loop, mesh
    from chanattn.training.config import from_json

    path = Path(told["job_config"])
    try:
        config = from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"--job_config={path} cannot be read ({error})") from error
    if told.get("cache") and not config.compilation_cache and not compilation_cache.usable():
        compilation_cache.enable(told["cache"])
    loop.train_and_evaluate(config, told["workdir"], build=build)
    if mesh.is_primary():
        draw_run(told["workdir"])
        draw_samples_of_run(told["workdir"])


def _stop_with_the_parent() -> None:
    """Has this process save and stop once the one that started it is gone, in whatever way it went.

    One that has told it to stop has written a byte before: a second signal could spoil the saving.
    """
    if not os.read(0, 1):
        os.kill(os.getpid(), signal.SIGTERM)


def _define_flags() -> None:
    """Only where this file is the program: others that import it have flags of the same names."""
    cli.define_path("job_config", None, "the run's config as JSON")
    cli.define_path("workdir", None, "run directory")
    cli.define_path("cache", None, "folder of compiled programs; default: as the config says")
    flags.DEFINE_integer("jobs", None, "file descriptor to read further runs from, a line each")
    flags.DEFINE_integer("done", None, "file descriptor to say on that a run is done")
    flags.DEFINE_bool(
        "lifeline", False, "standard input is a pipe whose closing means: save and stop"
    )


if __name__ == "__main__":
    _define_flags()
    cli.run(main)
