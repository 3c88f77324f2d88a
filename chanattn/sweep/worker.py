"""Trains one run of a sweep: what every launcher starts.

    python -m chanattn.sweep.worker --job_config=SWEEP/jobs/se_r4/seed0.json --workdir=SWEEP/runs/se_r4/seed0

The same as `train.py` with a config that is resolved already, and with the same exit codes; a run that was
begun is continued. The launcher appends what it prints to the file `output.log` of the run directory.
"""

import os
import signal
import sys
import threading

from absl import flags

from chanattn import cli
from chanattn.errors import UsageError
from chanattn.sweep.launchers.base import Job


def command(job: Job) -> list[str]:
    """The command line that trains `job`, for `chanattn.sweep.watch.start`."""
    cache = [] if job.cache is None else [f"--cache={job.cache}"]
    return [
        *(sys.executable, "-m", "chanattn.sweep.worker", "--lifeline"),
        *(f"--job_config={job.config}", f"--workdir={job.workdir}", *cache),
    ]


def main() -> None:
    """Trains as the flags say."""
    given = flags.FLAGS
    if not given.job_config or not given.workdir:
        raise UsageError("--job_config=FILE and --workdir=DIRECTORY are required")
    if given.lifeline:
        threading.Thread(target=_stop_with_the_parent, daemon=True).start()
    from chanattn.prediction.samples import draw_samples_of_run
    from chanattn.report.run_pictures import draw_run
    from chanattn.training import compilation_cache, loop, mesh
    from chanattn.training.config import from_json

    try:
        config = from_json(given.job_config.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"--job_config={given.job_config} cannot be read ({error})") from error
    if given.cache and not config.compilation_cache:
        compilation_cache.enable(given.cache)
    loop.train_and_evaluate(config, given.workdir)
    if mesh.is_primary():
        draw_run(given.workdir)
        draw_samples_of_run(given.workdir)


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
    flags.DEFINE_bool(
        "lifeline", False, "standard input is a pipe whose closing means: save and stop"
    )


if __name__ == "__main__":
    _define_flags()
    cli.run(main)
