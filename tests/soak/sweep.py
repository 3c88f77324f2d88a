"""A sweep whose workers are killed at random: it must end complete, with the numbers of a quiet one.

    python -m tests.soak.sweep --runs=200 --share=0.33 --json=docs/reliability/soak-sweep.json

The sweep is the command that a user gives (`python -m chanattn.sweep`, local launcher), two variants of a
tiny training. This program watches the processes that it starts and sends SIGKILL to them in a share of their
runs, each at a random moment, whether it imports, compiles, trains, evaluates or saves. Some of the runs
that were killed are then trained once more without any disturbance, and their numbers compared.
"""

import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from absl import flags

from benchmarks.results import ROOT, report
from chanattn import cli
from tests.soak.runs import logged

SWEEP = "tests/sweep/tiny_sweep.py"
_POLL_S = 0.05
_FIRST_GUESS_S = 4.0  # of a run, until some have ended by themselves


def main() -> None:
    """Runs the sweep as the flags say."""
    values = flags.FLAGS
    with tempfile.TemporaryDirectory() as folder:
        row = soak(
            Path(folder), values.runs, values.share, values.steps, values.repeat, seed=values.seed
        )
    report("soak_sweep", [row], values.json)


def soak(
    folder: Path, runs: int, share: float, steps: int, repeat: int, *, seed: int = 0
) -> dict[str, Any]:
    """One sweep with its kills, and what became of it.

    Args:
        folder: for the sweep and for the repetitions.
        runs: trainings, half of them of each variant.
        share: probability that a worker is killed during a run, each repetition anew.
        steps: of a training.
        repeat: killed runs that are trained again undisturbed, to compare.
        seed: of the kills.

    Raises:
        RuntimeError: the sweep failed, lacks a run, or a killed run has other numbers than its repetition.
    """
    sweep, started = folder / "sweep", time.monotonic()
    words = ["-m", "chanattn.sweep", f"--config={SWEEP}:{steps}", f"--workdir={sweep}"]
    words += [f"--seeds={runs // 2}", "--nocost", "--max_losses=20"]
    with (folder / "output.txt").open("w", encoding="utf-8") as printed:
        process = subprocess.Popen(
            [sys.executable, *words], cwd=ROOT, stdout=printed, stderr=subprocess.STDOUT
        )
        killer = _Killer(process.pid, share, random.Random(seed))
        try:
            while process.poll() is None:
                killer.look()
                time.sleep(_POLL_S)
        finally:
            process.kill()
            process.wait()
    if process.returncode:
        told = (folder / "output.txt").read_text(encoding="utf-8")
        raise RuntimeError(f"the sweep left with {process.returncode}:\n{told[-3000:]}")
    seconds = time.monotonic() - started
    done = sorted(path.parent for path in sweep.glob("runs/*/*/summary.json"))
    if len(done) != runs // 2 * 2 or not (sweep / "report" / "report.html").exists():
        raise RuntimeError(f"{len(done)} of {runs} runs are done, or there is no report")
    killed = [run for run in done if str(run) in killer.victims]
    chosen = random.Random(seed).sample(killed, min(repeat, len(killed)))
    for number, run in enumerate(chosen):
        _compare(sweep, run, folder / f"again{number}")
    training = [json.loads((run / "summary.json").read_text(encoding="utf-8")) for run in done]
    return {
        "runs": len(done),
        "steps": steps,
        "workers_started": killer.started,
        "workers_killed": killer.kills,
        "runs_killed": len(killed),
        "most_kills_of_a_run": max(killer.victims.values(), default=0),
        "killed_before_training": killer.early,
        "runs_compared": len(chosen),
        "seconds": round(seconds, 1),
        "seconds_a_worker": round(killer.life(), 2),
        "seconds_of_steps": round(
            statistics.median(
                summary["examples"] / summary["images_per_second"] for summary in training
            ),
            2,
        ),
    }


class _Killer:
    """Watches the worker processes of a sweep, each run of which is one life, and kills some.

    Attributes:
        started: lives seen.
        kills: of them, how many were cut short.
        early: of these, how many had logged nothing yet.
        victims: number of kills by run directory.
    """

    def __init__(self, parent: int, share: float, rng: random.Random) -> None:
        self.started = self.kills = self.early = 0
        self.victims: dict[str, int] = {}
        self._parent, self._share, self._rng = parent, share, rng
        self._alive: dict[int, tuple[str, float, float]] = {}  # run, birth, moment of death
        self._lives: list[float] = []
        self._killed: set[int] = set()

    def life(self) -> float:
        """Seconds that a run takes if it is left alone: the median."""
        return statistics.median(self._lives) if self._lives else _FIRST_GUESS_S

    def look(self) -> None:
        """Notes workers with a new run, kills those whose time has come, and forgets what has ended."""
        now, found = time.monotonic(), workers_of(self._parent)
        for pid in [pid for pid, (run, *_) in self._alive.items() if found.get(pid) != run]:
            _, birth, _ = self._alive.pop(pid)
            if pid not in self._killed:
                self._lives.append(now - birth)
        for pid, run in found.items():
            if pid not in self._alive:
                self.started += 1
                doomed = self._rng.random() < self._share
                delay = self._rng.uniform(0, self.life()) if doomed else float("inf")
                self._alive[pid] = run, now, now + delay
            elif now >= self._alive[pid][2]:
                self._kill(pid)

    def _kill(self, pid: int) -> None:
        run, birth, _ = self._alive[pid]
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self._alive[pid] = run, birth, float("inf")
        self._killed.add(pid)
        self.kills += 1
        self.victims[run] = self.victims.get(run, 0) + 1
        metrics = Path(run, "metrics.jsonl")
        self.early += not metrics.exists() or metrics.stat().st_size == 0


def workers_of(parent: int) -> dict[int, str]:
    """What the living workers that a process has started compute, as run directories by process."""
    found = {}
    for child in Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="utf-8").split():
        try:
            words = Path(f"/proc/{child}/cmdline").read_text(encoding="utf-8").split("\0")
            printed = os.readlink(f"/proc/{child}/fd/1")  # of the run under way
        except OSError:
            continue
        if "chanattn.sweep.worker" in words:  # a zombie has no command line
            found[int(child)] = str(Path(printed).parent)
    return found


def _compare(sweep: Path, run: Path, again: Path) -> None:
    job = sweep / "jobs" / run.parent.name / f"{run.name}.json"
    words = ["-m", "chanattn.sweep.worker", f"--job_config={job}", f"--workdir={again}"]
    words.append(f"--cache={sweep / 'cache'}")
    subprocess.run([sys.executable, *words], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    if logged(run) != logged(again):
        raise RuntimeError(f"{run} has other numbers than the same training undisturbed")


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags of this program."""
    v: Any = {"flag_values": values}
    flags.DEFINE_integer("runs", 200, "trainings", lower_bound=2, **v)
    flags.DEFINE_float(
        "share", 1 / 3, "of the runs during which the worker is killed", lower_bound=0, **v
    )
    flags.DEFINE_integer("steps", 100, "of a training", lower_bound=1, **v)
    flags.DEFINE_integer("repeat", 8, "killed runs trained again to compare", lower_bound=0, **v)
    flags.DEFINE_integer("seed", 0, "of the kills", **v)
    cli.define_path("json", None, "file to write", **v)


if __name__ == "__main__":
    define_flags()
    cli.run(main)
