"""Sweep directories as a real sweep leaves them, made from given numbers."""

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Values = Mapping[str, Sequence[float | None]]

RECIPE: dict[str, Any] = {
    "seed": 0,
    "epochs": 24.0,
    "batch_size": 64,
    "log_every": 10,
    "platform": "auto",
    "kernels": "auto",
    "dataset": {"name": "digits", "data_dir": "", "mean": [0.5, 0.5, 0.5]},
    "model": {"name": "resnet8", "attention": {"name": "se", "reduction": None, "stages": []}},
    "optimizer": {"learning_rate": 0.1},
}
ENVIRONMENT: dict[str, Any] = {
    "python": "3.11.7",
    "platform": "cpu",
    "devices": ["cpu"],
    "processes": 1,
    "kernels": "onednn",
    "packages": {"jax": "0.10.2", "numpy": "2.3.1"},
    "git": "0123abc",
    "variables": {"OMP_NUM_THREADS": "1"},
}
HOW = {
    "command": ["chanattn/sweep/__main__.py", "--config=configs/ablations/fake.py:digits"],
    "versions": {"chanattn": "0.1", "jax": "0.10.2"},
    "git": "0123abc",
    "written": "2026-01-02T03:04:05+0000",
}


def write_sweep(
    folder: Path,
    values: Values,
    *,
    baseline: str | None = None,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    published: Sequence[Mapping[str, Any]] = (),
    cost: Mapping[str, Mapping[str, Any]] | None = None,
    recipe: Mapping[str, Any] | None = None,
    title: str = "A fake ablation",
    steps: Sequence[int] = (100, 200, 300),
) -> Path:
    """Writes a sweep directory and returns it.

    Args:
        folder: where it goes.
        values: final test top-1 accuracies as shares, one a seed, by variant; None: a run that is incomplete.
        baseline: a variant; the first one if None.
        overrides: by variant; `model.attention.name` numbered if None.
        published: as in sweep.json.
        cost: the variants of cost.json; None: no such file.
        recipe: dotted paths that replace fields of `RECIPE`.
        title: of the sweep.
        steps: at which the test split is logged.
    """
    if overrides is None:
        overrides = {n: {"model.attention.name": f"mechanism{i}"} for i, n in enumerate(values)}
    seeds = range(max(len(given) for given in values.values()))
    directories = {name: f"variant{number}" for number, name in enumerate(values)}
    sweep = {
        "format": 1,
        "name": folder.name,
        "title": title,
        "note": "Does it matter?",
        "config": "configs/ablations/fake.py:digits",
        "baseline": next(iter(values)) if baseline is None else baseline,
        "seeds": list(seeds),
        "variants": {
            name: {"directory": directories[name], "overrides": overrides[name]} for name in values
        },
        "published": list(published),
        "how": HOW,
    }
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "sweep.json", sweep)
    if cost is not None:
        write(
            folder / "cost.json",
            {
                "format": 1,
                "hardware": {"device": "a processor", "cores": 2},
                "conventions": "one MAC = one multiply-add",
                "how": {},
                "variants": cost,
            },
        )
    for name, given in values.items():
        for seed, value in enumerate(given):
            config = configured({**(recipe or {}), **overrides[name], "seed": seed})
            run = folder / "runs" / directories[name] / f"seed{seed}"
            write_run(run, config, value, steps)
    return folder


def configured(changes: Mapping[str, Any]) -> dict[str, Any]:
    """`RECIPE` with fields changed, by dotted path."""
    config = copy.deepcopy(RECIPE)
    for path, value in changes.items():
        *groups, name = path.split(".")
        place = config
        for group in groups:
            place = place[group]
        place[name] = value
    return config


def write_run(
    run: Path, config: Mapping[str, Any], value: float | None, steps: Sequence[int]
) -> None:
    """Writes a run that ends with the test accuracy `value`; None: killed after its first evaluation."""
    run.mkdir(parents=True)
    write(run / "config.json", config)
    write(run / "environment.json", ENVIRONMENT)
    (run / "output.log").write_text("cpu: 2 cores\n")
    reached = steps if value is not None else steps[:1]
    final = 0.9 if value is None else value
    lines: list[dict[str, Any]] = []
    for number, step in enumerate(reached, start=1):
        share = number / len(steps)
        lines.append({"step": step, "split": "train", "time": 0.0, "loss": 2.5 - 2 * share})
        lines.append({"step": step, "split": "test", "time": 0.0, "top1": final * share**0.1})
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if value is not None:
        metrics = {"loss": 1.0 - value, "top1": value, "top5": 1.0}
        write(
            run / "summary.json",
            {
                "steps": max(steps, default=0),
                "parameters": 75_290,
                "final": {"test": metrics},
                "best": {"test": {"step": max(steps, default=0), **metrics}},
                "images_per_second": 1000.0,
                "seconds": 12.5,
                "versions": {},
            },
        )


def write(path: Path, value: object) -> None:
    """Writes JSON."""
    path.write_text(json.dumps(value))
