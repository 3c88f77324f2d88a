"""Runs of a few seconds, and what they have computed."""

import importlib.util
import os
import signal
from pathlib import Path

from chanattn.runs.metrics_log import read_metrics
from chanattn.training.checkpoint import Checkpoints

RECIPE = Path(__file__).resolve().parents[1] / "training" / "small_recipe.py"


def config_of(loader="device", **changes):
    spec = importlib.util.spec_from_file_location("small_recipe", RECIPE)
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    config = recipe.get_config(loader)
    config.update(changes)
    return config


def tiny_config(**changes):
    """24 steps of the tiny network, for the fixture `tiny_runs`: logged every 4th, saved every 7th."""
    config = config_of(steps=24, **changes)
    config.dataset.augment.mixup = 0.0
    config.dataset.synthetic_classes = 5
    return config


def outcome(workdir):
    """Everything a run has computed: its metrics, and the checksums of its final arrays."""
    speeds = {"time", "steps_per_second", "images_per_second"}
    lines = [
        {name: value for name, value in line.items() if name not in speeds}
        for line in read_metrics(workdir)
    ]
    with Checkpoints(workdir / "checkpoints", read_only=True) as checkpoints:
        return lines, checkpoints.manifest(checkpoints.latest())["leaves"]


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


class Crash(BaseException):
    """A death so sudden that nothing is saved."""


def crash():
    raise Crash
