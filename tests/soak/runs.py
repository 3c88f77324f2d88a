"""What the soak programs share: trainings as processes, and what they have logged."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.results import ROOT
from chanattn.runs.metrics_log import read_metrics

_CLOCK = ("time", "steps_per_second", "images_per_second")


def start(arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """Starts `train.py` with these arguments; what it prints is thrown away."""
    words = [sys.executable, "train.py", *arguments]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL)


def logged(workdir: Path) -> list[dict[str, Any]]:
    """What a run has logged, without what depends on the clock."""
    return [
        {name: value for name, value in line.items() if name not in _CLOCK}
        for line in read_metrics(workdir)
    ]


def last_step(workdir: Path) -> int:
    """Step of the newest complete line of the log; 0: there is none."""
    try:
        lines = (workdir / "metrics.jsonl").read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        return 0
    return json.loads(lines[-2])["step"] if len(lines) > 1 else 0
