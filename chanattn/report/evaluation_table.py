"""An evaluation on the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from chanattn.labels import labels, one_line
from chanattn.runs import metric as metrics
from chanattn.runs import per_class
from chanattn.runs.evaluation import Evaluation
from chanattn.runs.metric import Metric

MOST_CLASSES = 21  # those of PASCAL VOC fit


def show(result: Mapping[str, Any], console: Console | None = None) -> None:
    """Prints an evaluation as a table.

    Args:
        result: JSON values as `chanattn.runs.evaluation` describes them, with the paths of its files, if it
            has any, as `json`, `picture`, `bars`, `curve` and `samples`, and the list `exports`.
        console: where to; None: standard output.
    """
    console = console or Console(highlight=False, emoji=False)
    evaluation = Evaluation.from_json(result)
    of = evaluation.file if evaluation.run is None else f"{evaluation.run}, step {evaluation.step}"
    seen = [f"{evaluation.weights} weights", *_views(evaluation.how)]
    table = Table(title=Text(one_line(f"{of} ({', '.join(seen)})")))
    table.add_column(Text(one_line(f"{evaluation.dataset} {evaluation.split}")))
    table.add_column(f"{evaluation.examples:,} examples", justify="right")
    for metric in (*evaluation.metrics, *evaluation.details):
        _add_metric(table, metric, evaluation.results.get(metric.name))
    for name, of_guess in (evaluation.results.get("baselines") or {}).items():
        table.add_section()
        table.add_row(f"guess: {name}", "")
        for metric in evaluation.metrics:
            if metric.name in of_guess:
                _add_metric(table, metric, of_guess[metric.name])
    table.add_section()
    table.add_row("images/s", f"{evaluation.images_per_second:,.0f}", end_section=True)
    of_classes = per_class.per_class(evaluation.results)
    for name, values in of_classes.items():
        if len(of_classes) > 1:
            what = per_class.label(name, (*evaluation.metrics, *evaluation.details))
            table.add_row(f"{what} by class", "")
        _add_classes(table, values)
    console.print(table)
    if not evaluation.classes_compared:
        console.print(
            "the names of the classes on which the weights were trained are unknown: their order is taken to "
            "be that of the data set",
            soft_wrap=True,
        )
    if void := evaluation.results.get("void_pictures"):
        console.print(f"{void:,} pictures have no pixel with a class, and are in no figure")
    kinds = ("json", "picture", "bars", "curve", "samples")
    written = [result[kind] for kind in kinds if kind in result] + result.get("exports", [])
    if written:
        text = "written to " + "\n           ".join(written)
        console.print(text, soft_wrap=True, markup=False)


def _views(how: Mapping[str, Any]) -> list[str]:
    """In words what was averaged over, if anything was."""
    found = ["mirrored too"] if how.get("flip") else []
    if "scales" in how:
        found.append("scales " + " ".join(f"{scale:g}" for scale in how["scales"]))
    if "window" in how:
        found.append("windows of {}x{}".format(*how["window"]))
    return found


def _add_metric(table: Table, metric: Metric, value: float | None) -> None:
    unit = f" ({metric.unit})" if metric.unit not in ("", metrics.SHARE) else ""
    table.add_row(f"{metric.label}{unit}", "none" if value is None else metric.shown(value))


def _add_classes(table: Table, values: Mapping[str, float | None]) -> None:
    """The share of each class that has one, or of the worst."""
    shown_as = labels(values)
    counted = [(name, value) for name, value in values.items() if value is not None]
    shown = counted
    if len(counted) > MOST_CLASSES:
        shown = sorted(counted, key=lambda pair: pair[1])[:MOST_CLASSES]
        table.add_row(f"the {len(shown)} worst of {len(counted)} classes", "")
    for name, value in shown:
        table.add_row(Text(f"  {shown_as[name]}"), f"{value:.2%}")
