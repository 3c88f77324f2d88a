"""The main numbers of an inspection as a table of text."""

from collections.abc import Mapping
from typing import Any

from chanattn.labels import labels

_KINDS = ("mean", "class_mean", "another", "one", "permuted")


def signed(difference: float | None, interval: Any, factor: float = 1.0, digits: int = 2) -> str:
    """A difference with its interval, -1.25 [-2.50, -0.28]; empty where nothing was measured."""
    if difference is None:
        return ""
    if interval is None:
        return _plus(factor * difference, digits)
    low, high = (_plus(factor * end, digits) for end in interval)
    return f"{_plus(factor * difference, digits)} [{low}, {high}]"


def _plus(value: float, digits: int) -> str:
    """With its sign, but for what rounds to zero."""
    text = f"{value:+.{digits}f}"
    return text if float(text) else text[1:]


def table(values: Mapping[str, Any]) -> str:
    """What replacing weights does to the score, a line a module; and what varies in each.

    Args:
        values: of `chanattn.runs.inspection.Inspection`.
    """
    score = values["score"]
    percent = score["unit"] == "%"
    factor, digits = (100.0, 2) if percent else (1.0, 4)
    replaced = values["input_matters"]["replaced"]
    untouched = values["input_matters"]["untouched"][score["name"]]["value"]
    kinds = [kind for kind in _KINDS if kind in replaced]
    targets = list(replaced["mean"])
    shown = labels(targets, 34)
    rows = [["weights replaced in", *(kind.replace("_", " ") for kind in kinds)]]
    for target in targets:
        found = [replaced[kind][target][score["name"]] for kind in kinds]
        rows.append(
            [
                shown[target],
                *(signed(f["difference"], f["difference_interval"], factor, digits) for f in found),
            ]
        )
    head = (
        f"{score['label']} {factor * untouched:.{digits}f}{'%' if percent else ''} on"
        f" {values['pictures']} pictures; with the weights replaced it changes by"
        f"{' (points)' if percent else ''}"
    )
    return f"{head}\n{aligned(rows)}\n\n{aligned(_varies(values))}\n"


def _varies(values: Mapping[str, Any]) -> list[list[str]]:
    rows = [
        ["weights of", "mean", "deviation", "effective rank", "between classes", "rank of loss"]
    ]
    names = labels([site["name"] for module in values["modules"] for site in module["sites"]], 40)
    for module in values["modules"]:
        for number, site in enumerate(module["sites"]):
            rank, classes = site["effective_rank"], site.get("between_classes")
            importance = module["importance"] if number == 0 else None
            found = importance and importance["knocked_out"]["rank_correlation"]
            rows.append(
                [
                    names[site["name"]],
                    f"{site['mean']:.3f}",
                    f"{site['deviation']:.4f}",
                    f"{rank:.1f} of {site['units']}" if rank is not None else "–",
                    f"{classes['share']:.0%} (chance {classes['chance']:.0%})" if classes else "–",
                    signed(found["value"], found["interval"]) if found else "–",
                ]
            )
    return rows


def aligned(rows: list[list[str]]) -> str:
    """Columns that begin one below the other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
