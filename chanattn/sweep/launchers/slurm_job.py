"""What a job of Slurm does: start the worker, pass on what Slurm signals, and ask to be queued again.

    python -m chanattn.sweep.launchers.slurm_job FOLDER LIMIT_SECONDS RUN_DIRECTORY STALL_SECONDS WORKER...

Unless the job is queued again, what became of the worker is left in `FOLDER/NUMBER.json`, see `outcome`.
LIMIT_SECONDS is for a process that acts as a job, to which nobody announces the end of its time; 0: none.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from chanattn.cli import FAILED, PREEMPTED
from chanattn.sweep.watch import Outcome, start

# The job's time is over soon: `sbatch --signal` says by which of these Slurm tells.
_ANNOUNCEMENTS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM)
_PAUSE = 0.2  # seconds
_PATIENCE = 60  # seconds for an answer of Slurm


def outcome(folder: Path, number: str) -> Outcome | None:
    """What became of the worker of a job; None if the job has not told."""
    try:
        told: Outcome = json.loads((folder / f"{number}.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return told


def main() -> None:
    """Trains a run, or continues it."""
    folder, limit, run, stall, *worker = sys.argv[1:]
    acts = int(limit) > 0
    told: set[int] = set()
    for number in (signal.SIGTERM, *_ANNOUNCEMENTS):
        signal.signal(number, lambda number, frame: told.add(number))
    signal.alarm(int(limit))
    # Not every Slurm confines a job to its cores.
    cores = os.environ.get("SLURM_CPUS_PER_TASK")
    threads = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", cores)} if cores else {}
    # Slurm signals every process of a job, but the worker is to be told once it knows how to save. What is
    # blocked here stays so in the child. Some kinds of Slurm know the processes of a job by their session.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ANNOUNCEMENTS)
    watch = start(worker, Path(run), float(stall), variables=threads, session=False)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ANNOUNCEMENTS)
    while (ended := watch.poll()) is None:
        if told:
            watch.stop()
        time.sleep(_PAUSE)
    job = str(os.getpid()) if acts else os.environ["SLURM_JOB_ID"]
    # SIGTERM ends a worker that does not know yet how to save.
    if told and ended in (PREEMPTED, -signal.SIGTERM):
        if acts and signal.SIGTERM not in told:
            os.execv(sys.executable, sys.orig_argv)
        if not acts and _queued_again(job, told):
            return
    path = Path(folder, f"{job}.json")
    path.with_suffix(".part").write_text(json.dumps(ended), encoding="utf-8")
    path.with_suffix(".part").replace(path)
    sys.exit(ended if isinstance(ended, int) and ended >= 0 else FAILED)


def _queued_again(job: str, told: set[int]) -> bool:
    """Has Slurm start this job once more, unless it was cancelled; whether that went well."""
    if signal.SIGTERM in told:
        # SIGTERM to a job that keeps running is no scancel: Slurm takes the node away. It requeues what it
        # has to kill, but not a job that ends in time, as this one does.
        state = _slurm("squeue", "--noheader", "--format=%T", f"--jobs={job}")
        if state != "RUNNING":
            return False
    return _slurm("scontrol", "requeue", job) is not None


def _slurm(*command: str) -> str | None:
    """What a program of Slurm answers; None if it fails."""
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        print(f"{command[0]}: {error}", file=sys.stderr)
        return None
    return answer.stdout.strip()


if __name__ == "__main__":
    main()
