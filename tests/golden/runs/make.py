"""Makes what an archive of this folder holds, with the code that is checked out; see README.md.

PYTHONPATH=. python tests/golden/runs/make.py FOLDER        (from the root of the source tree)
"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"

RECIPE = '''"""Digits, in a few steps; a grid of two variants, and a search."""

from chanattn.sweep import Published, Sweep
from configs import base


def get_config():
    c = base.get_config()
    c.steps = 12
    c.batch_size = 16
    c.log_every = 4
    c.eval_every = c.checkpoint_every = 6
    c.platform = "cpu"
    c.cpu_devices = 1
    c.kernels = "xla"
    c.dataset.name = "digits"
    c.model.name = "resnet8"
    c.optimizer.learning_rate = 0.05
    c.logging.tensorboard = False
    return c


def sweep():
    return Sweep(
        title="SE on digits",
        note="Does it matter?",
        variants={
            "none": {"model.attention.name": "identity"},
            "SE, reduction 4": {"model.attention.name": "se", "model.attention.reduction": 4},
        },
        baseline="none",
        seeds=2,
        published=[
            Published(
                "A paper", "ResNet-50, ImageNet", "top-1 error, %",
                {"none": 23.3, "SE, reduction 4": (22.28, 0.1)},
            )
        ],
    )


def search():
    return {"optimizer.learning_rate": ("choice", [0.05, 1e30])}
'''


def main() -> None:
    """Writes `FOLDER/done`, `interrupted`, `sweep` and `search`."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True)
    recipe = folder / "recipe.py"
    recipe.write_text(RECIPE)
    single_runs(folder, recipe)
    for command, name in ((), "sweep"), (("--search", "--trials=3", "--parallel=1"), "search"):
        line = [sys.executable, "-m", "chanattn.sweep", *command]
        line += [f"--config={recipe}", f"--workdir={folder / name}"]
        subprocess.run(line, check=True)
    for pattern in (
        "s*/cache",
        "s*/report",
        "s*/runs/*/*/checkpoints",
        "interrupted/checkpoints/6",
    ):
        for path in folder.glob(pattern):
            shutil.rmtree(path)
    for path in [*folder.rglob("*.png"), *folder.rglob(".lock")]:
        path.unlink()


def single_runs(folder: Path, recipe: Path) -> None:
    """With the tiny network of the tests, so that checkpoints are small."""
    from chanattn import cli, models
    from chanattn.errors import Preempted
    from chanattn.training.evaluate import evaluate_run
    from chanattn.training.loop import train_and_evaluate
    from chanattn.training.metrics_log import MetricsLog
    from tests.training.conftest import TinyNet

    models.from_config = lambda *_: TinyNet(classes=10)
    config = cli.load_config(str(recipe))
    config.ema.decay, config.checkpoint.keep, config.checkpoint.keep_best = 0.9, 1, 1
    train_and_evaluate(config, folder / "done")
    evaluate_run(folder / "done")
    write = MetricsLog.write

    def stopping(self, step, split, metrics):
        write(self, step, split, metrics)
        if step == 8:
            os.kill(os.getpid(), signal.SIGTERM)

    MetricsLog.write = stopping
    try:
        train_and_evaluate(config, folder / "interrupted")
    except Preempted as error:
        print(error)


if __name__ == "__main__":
    main()
