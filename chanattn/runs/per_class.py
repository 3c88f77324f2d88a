"""Numbers of every class, in evaluations and summaries: results with the name `per_class_NAME`.

Each is {class: share of 1}, None where there is nothing to measure, as of a class that does not occur. Those
of captions, `per_class_words`, tell of groups of words that the config names.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from chanattn.runs.json_object import number
from chanattn.runs.metric import Metric

PREFIX = "per_class_"
OfClasses = Mapping[str, float | None]
WORDS = "words"
_DETAILS = {"voc_ap50": "VOC AP50", WORDS: "right words"}
"""Labels of those whose metric is a detail, which summaries do not name, or that have none."""


def per_class(results: Mapping[str, Any]) -> dict[str, OfClasses]:
    """What results tell of every class, by NAME; a value that is no finite number is None."""
    return {
        name.removeprefix(PREFIX): {label: number(value) for label, value in values.items()}
        for name, values in results.items()
        if name.startswith(PREFIX) and isinstance(values, Mapping)
    }


def label(name: str, metrics: Sequence[Metric]) -> str:
    """What people call it: as a metric of that name, or one that is the mean over the classes."""
    known = _DETAILS | {metric.name: metric.label for metric in metrics}
    mean = known.get(f"m{name}", "")
    return known.get(name) or mean.removeprefix("m") or name.replace("_", " ")


def heading(name: str, metrics: Sequence[Metric]) -> str:
    """Above all of them: "IoU by class"."""
    return f"{label(name, metrics)} by {'group' if name == WORDS else 'class'}"
