"""Measurements as a picture: ratios to the peer, or images/s where there is none."""

import os
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.comparison import Entry
from chanattn.analysis.hardware import describe


def plot(report: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Draws a report, as `--json` holds it, into the PNG `path`: one panel a mode, one bar a row.

    Whiskers reach from the lowest round to the highest. The picture names the hardware; its metadata holds
    the command that made it.
    """
    entries: list[Entry] = report["rows"]
    modes = list(dict.fromkeys(e["mode"] for e in entries))
    compared = any(e["ratio"] is not None for e in entries)
    rows = max(sum(e["mode"] == mode for e in entries) for mode in modes)
    figure = Figure(figsize=(6.0 * len(modes), 1.6 + 0.32 * rows), layout="constrained")
    panels = figure.subplots(1, len(modes), squeeze=False)[0]
    for axes, mode in zip(panels, modes, strict=True):
        _panel(axes, [e for e in entries if e["mode"] == mode], compared)
        axes.set_title(mode)
    figure.supxlabel(describe(report["hardware"]), fontsize=8)
    figure.savefig(path, dpi=120, metadata={"Description": report["how"]["command"]})


def _panel(axes: Axes, entries: list[Entry], compared: bool) -> None:
    names = ("ratio", "ratio_lowest", "ratio_highest")
    if not compared:
        names = ("ours_images_per_s", "ours_lowest", "ours_highest")
    shown = [e for e in entries if e[names[0]] is not None]
    middle, low, high = ([e[name] for e in shown] for name in names)
    below = [m - v for m, v in zip(middle, low, strict=True)]
    above = [v - m for m, v in zip(middle, high, strict=True)]
    colours = ["C0" if not compared or value >= 1 else "C1" for value in middle]
    places = range(len(shown))
    axes.barh(places, middle, xerr=[below, above], color=colours, ecolor="0.3", capsize=2)
    axes.set_yticks(places, [e["row"] for e in shown])
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if compared:
        axes.axvline(1.0, color="0.3", linewidth=1)
        peers = " and ".join(sorted({e["peer"] for e in shown}))
        axes.set_xlabel(f"images/s, ours over {peers}")
    else:
        axes.set_xscale("log")
        axes.set_xlabel("images/s, ours")
