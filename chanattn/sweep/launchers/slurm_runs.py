"""The runs of a sweep that its jobs at Slurm share: a folder of small files, on a disk that all of them see.

    waiting@RUN   for the next job that has time; RUN is the run directory, with @ for /
    NUMBER@RUN    computed, or to be continued, by the job of this number
    ended@RUN     of which `outcome@RUN` tells what became of it
    stop@RUN      the sweep wants it to be stopped
    begun@NUMBER  the job has looked for a run

A run goes from one state to the next by the renaming of its file, which succeeds for one process alone. So no
two jobs take the same run, and what a job has taken stays with it when it is queued again.
"""

import contextlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from chanattn.files import write_json
from chanattn.sweep.launchers.base import Ended, Job
from chanattn.sweep.place import Place, pair

WAITING, ENDED = "waiting", "ended"
_STOP, _BEGUN, _OUTCOME = "stop", "begun", "outcome"


class Runs:
    """The folder, as the sweep and its jobs use it.

    Args:
        logs: of the sweep's jobs; the files lie in its folder `runs`, which is made if absent.
    """

    def __init__(self, logs: Path) -> None:
        self._folder = logs / "runs"
        self._offered = 0
        self._folder.mkdir(parents=True, exist_ok=True)

    def states(self) -> Mapping[str, str]:
        """Of each run, by its name here: `WAITING`, `ENDED` or the number of a job."""
        names = (path.name.partition("@") for path in self._folder.glob("[!.]*@*"))
        return {run: state for state, _, run in names if state not in (_STOP, _BEGUN, _OUTCOME)}

    # What the sweep does.

    def forget_all_but(self, alive: Collection[str]) -> None:
        """Forgets what an earlier process of the sweep has left, and no job of these numbers has."""
        for run, state in self.states().items():
            if state not in alive:
                self.drop(state, run)
        for path in self._folder.glob(f"{_BEGUN}@*"):
            if path.name.removeprefix(f"{_BEGUN}@") not in alive:
                path.unlink()

    def name(self, job: Job) -> str:
        """Of a run: `se_r4@seed0`."""
        return "@".join(job.workdir.parts[-2:])

    def offer(self, job: Job) -> None:
        """Has a job compute the run, in the order of these calls."""
        for state in (_STOP, _OUTCOME, ENDED):
            self.drop(state, self.name(job))
        told = {"variant": job.variant, "seed": job.seed, **job.told(), "order": self._offered}
        self._offered += 1
        write_json(self._path(WAITING, self.name(job)), told)

    def withdraw(self, job: Job) -> bool:
        """Takes back what no job has taken; whether that was so."""
        return self.drop(WAITING, self.name(job))

    def stop(self, job: Job) -> None:
        """Has the job that computes the run stop it."""
        self._path(_STOP, self.name(job)).touch()

    def outcome(self, job: Job) -> Ended | None:
        """How a run in the state `ENDED` has ended, which is forgotten; None if that is not visible yet."""
        path = self._path(_OUTCOME, self.name(job))
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        path.unlink(missing_ok=True)
        self.drop(ENDED, self.name(job))
        return Ended(job, told["code"], told["detail"])

    def has_begun(self, number: str) -> bool:
        """Whether a job has come so far as to look for a run."""
        return self._path(_BEGUN, number).exists()

    def drop(self, state: str, run: str) -> bool:
        """Forgets a run in this state; whether it was there."""
        try:
            self._path(state, run).unlink()
        except FileNotFoundError:
            return False
        return True

    # What a job does.

    def begin(self, number: str) -> None:
        """Says that the job of this number has looked for a run."""
        self._path(_BEGUN, number).touch()

    def taken(self, number: str) -> Job | None:
        """What the job of this number has taken and not ended, before it was queued again for instance."""
        return next((_job(told) for told in self._read(number).values()), None)

    def take(self, number: str, place: Place) -> Job | None:
        """A run that waits, for the place of this job and no other; None if there is none."""
        queue = [
            _job(told)
            for told in sorted(self._read(WAITING).values(), key=lambda told: told["order"])
        ]
        others = set(self.states().values()) - {WAITING, ENDED, number}
        begun = {told["variant"] for other in others for told in self._read(other).values()}
        while queue:
            _, job = pair(queue, [place], begun.union(place.variants))
            queue.remove(job)
            mine = self._path(number, self.name(job))
            with contextlib.suppress(FileNotFoundError):  # another job was faster
                self._path(WAITING, self.name(job)).rename(mine)
            if mine.exists():  # NFS may call a renaming failed that it has made
                return job
        return None

    def must_stop(self, job: Job) -> bool:
        """Whether the sweep wants the run to be stopped."""
        return self._path(_STOP, self.name(job)).exists()

    def end(self, number: str, ended: Ended) -> None:
        """Says how a run that the job of this number had taken has ended."""
        run = self.name(ended.job)
        write_json(self._path(_OUTCOME, run), {"code": ended.code, "detail": ended.detail})
        with contextlib.suppress(FileNotFoundError):  # the sweep believes this job dead
            self._path(number, run).rename(self._path(ENDED, run))
        self._path(_STOP, run).unlink(missing_ok=True)

    def _path(self, state: str, run: str) -> Path:
        return self._folder / f"{state}@{run}"

    def _read(self, state: str) -> dict[str, Any]:
        """What is told of the runs in a state, by name; those that leave it meanwhile are left out."""
        found = {}
        for run, has in self.states().items():
            if has == state:
                with contextlib.suppress(FileNotFoundError):
                    found[run] = json.loads(self._path(state, run).read_text(encoding="utf-8"))
        return found


def _job(told: Mapping[str, Any]) -> Job:
    cache = told.get("cache")
    return Job(
        told["variant"],
        told["seed"],
        Path(told["job_config"]),
        Path(told["workdir"]),
        None if cache is None else Path(cache),
    )
