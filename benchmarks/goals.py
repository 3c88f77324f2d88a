"""What the project wants to reach, as ratios of speeds, and what was reached."""

from collections.abc import Mapping
from typing import Any

from benchmarks.rows import CONV_SLOT

Entry = Mapping[str, Any]

# A full CIFAR-10 table on a GPU: 6 variants x 5 seeds x 30 epochs of floor(50,000 / 128) steps.
TABLE_STEPS = 6 * 5 * 30 * (50_000 // 128)
TABLE_MINUTES = 20.0


def goal(entry: Entry, *, on_gpu: bool) -> float | None:
    """The least ratio to the peer that is wanted of a row of benchmarks.throughput; None: none is set.

    Training on a GPU: 1.2 times timm's best. On a CPU: networks without attention or with a gate as fast as
    timm's best, training and inference; modules alone, forward and backward, twice as fast; ResNet-20 trains
    twice as fast as with plain Flax layers.
    """
    module, training = "@" in entry["row"], entry["mode"] == "train"
    backbone, _, attention = entry["row"].partition("_")
    if on_gpu:
        return 1.2 if training and entry["peer"] == "timm" else None
    if entry["peer"] == "flax":
        return 2.0 if training and backbone == "resnet20" else None
    if entry["peer"] != "timm":
        return None
    if module:
        return 2.0 if training else None
    return None if attention in CONV_SLOT else 1.0


def verdict(ratio: float | None, wanted: float | None) -> str:
    """`reached`, `missed`, or nothing where there is no goal or no ratio.

    The ratio counts as it is printed, with two decimals.
    """
    if ratio is None or wanted is None:
        return ""
    return "reached" if round(ratio, 2) >= wanted else "**missed**"


def overhead_verdict(entry: Entry, *, on_gpu: bool) -> str:
    """On a GPU a mechanism is to cost less of the time than timm's."""
    ours, peer = entry["ours_overhead"], entry["peer_overhead"]
    if not on_gpu or entry["peer"] != "timm" or None in (ours, peer):
        return ""
    return "reached" if ours < peer else "**missed**"
