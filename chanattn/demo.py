"""`make demo`: an SE-ResNet and its plain twin on handwritten digits, trained, evaluated, compared.

    python -m chanattn.demo

Run it from the root of the source tree, where `configs/` lies.
"""

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from chanattn import cli
from chanattn.errors import UsageError
from chanattn.runs.layout import CONFIG, CURVES
from chanattn.runs.metric import Metric, from_list

if TYPE_CHECKING:
    from ml_collections import ConfigDict

RECIPE = "configs/digits.py"
TWINS = (("SE-ResNet-8", "se"), ("plain ResNet-8", "identity"))

FOLDER = cli.define_path("folder", "runs/demo", "where the run directories go")


def main() -> None:
    """Trains both, and prints the table."""
    from chanattn.report.curves import plot_curves
    from chanattn.report.run_pictures import draw_evaluation, draw_run
    from chanattn.training.evaluate import evaluate_run
    from chanattn.training.loop import train_and_evaluate

    folder = FOLDER.value
    assert folder is not None
    console = Console(highlight=False, soft_wrap=True)
    table = Table(title="1,797 handwritten digits of 8x8 pixels")
    runs, rows = [], []
    for title, attention in TWINS:
        config = cli.load_config(f"{RECIPE}:{attention}")
        run = folder / attention
        renew(run, config)
        console.print(f"\n{title}: python train.py --config={RECIPE}:{attention} --workdir={run}")
        start = time.perf_counter()
        summary = train_and_evaluate(config, run)
        draw_run(run)
        result = evaluate_run(run)
        draw_evaluation(result["json"])
        seconds = time.perf_counter() - start
        metric = from_list(summary["metrics"])[0]
        rows.append((title, *_cells(summary, result, metric), f"{seconds:.0f}"))
        runs.append(run)
    for heading in ("", f"test {metric.label}", "parameters", "images/s", "seconds"):
        table.add_column(heading, justify="right" if heading else "left")
    for row in rows:
        table.add_row(*row)
    plot_curves(runs, folder / CURVES, "ResNet-8 on digits, with attention and without")
    console.print()
    console.print(table)
    console.print("images/s: training alone; seconds: compiling, training, saving and evaluating")
    console.print(f"run directories:  {'  '.join(map(str, runs))}")
    console.print(f"training curves:  {folder / CURVES}")


def renew(run: Path, config: "ConfigDict") -> None:
    """Deletes an earlier run of the demo, and nothing else.

    Raises:
        UsageError: the folder holds something that is no run of the demo's data set.
    """
    from chanattn.training.run_directory import read_config

    if not run.exists() or not any(run.iterdir()):
        return
    if (
        not (run / CONFIG).is_file()
        or read_config(run).dataset.name != config.dataset.name
        or read_config(run).model.attention.name != config.model.attention.name
    ):
        raise UsageError(
            f"{run} holds something else than a run of the demo; choose another --folder"
        )
    shutil.rmtree(run)


def _cells(summary: dict[str, Any], result: dict[str, Any], metric: Metric) -> tuple[str, str, str]:
    return (
        metric.shown(result[metric.name]),
        f"{summary['parameters']:,}",
        f"{summary['images_per_second']:,.0f}",
    )


if __name__ == "__main__":
    cli.run(main)
