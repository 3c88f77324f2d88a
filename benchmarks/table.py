"""Measurements for people: a table for the terminal and one in Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from benchmarks.comparison import Entry
from chanattn.analysis.hardware import describe

_HEADINGS = (
    "row",
    "mode",
    "batch",
    "parameters",
    "ours, images/s",
    "peer, images/s",
    "ratio",
    "overhead: ours, peer",
    "ours is",
    "peer is",
)
_LEFT = ("row", "mode", "ours is", "peer is")


def terminal(entries: Sequence[Entry]) -> Table:
    """A table for rich: medians, with the lowest and highest round in brackets."""
    table = Table(title="throughput: medians over rounds (lowest to highest)")
    for heading in _HEADINGS:
        table.add_column(heading, justify="left" if heading in _LEFT else "right")
    for entry in entries:
        table.add_row(*_cells(entry))
    return table


def markdown(report: Mapping[str, Any]) -> str:
    """The same table with hardware, versions and command, as `--json` holds them."""
    how, entries = report["how"], report["rows"]
    versions = ", ".join(f"{name} {version}" for name, version in how["versions"].items())
    variables = ", ".join(f"`{name}={value}`" for name, value in how["variables"].items())
    lines = [
        "# Throughput",
        "",
        f"* made by: `{how['command']}`, {how['date']}",
        f"* hardware: {describe(report['hardware'])}",
        f"* versions: {versions}",
        f"* environment: {variables or 'nothing that matters is set'}",
        "",
        "Medians over rounds, in brackets the lowest and the highest; the ratio is the median of those of",
        "the rounds, in which both sides ran next to each other. Of a module alone, mode train is forward",
        "and backward.",
        "",
        "| " + " | ".join(_HEADINGS) + " |",
        "| " + " | ".join("---" if h in _LEFT else "---:" for h in _HEADINGS) + " |",
        *("| " + " | ".join(_cells(entry)) + " |" for entry in entries),
    ]
    notes = notes_of(entries)
    notes += [f"{f['row']} {f['mode']}: not measured: {f['error']}" for f in report["failed"]]
    return "\n".join(lines + (["", *(f"* {note}" for note in notes)] if notes else [])) + "\n"


def line(entry: Entry) -> str:
    """One measurement in one line."""
    text = f"{entry['row']} {entry['mode']}: {_rate(entry, 'ours')} images/s"
    if entry["peer_images_per_s"] is not None:
        text += f", {entry['peer']} {_rate(entry, 'peer')} ({entry['peer_variant']})"
    return text + (f", ratio {_ratio(entry)}" if entry["ratio"] is not None else "")


def notes_of(entries: Sequence[Entry]) -> list[str]:
    """The notes of all entries, each with its row."""
    return [f"{e['row']} {e['mode']}: {note}" for e in entries for note in e["notes"]]


def _cells(entry: Entry) -> list[str]:
    return [
        entry["row"],
        entry["mode"],
        str(entry["batch"]),
        f"{entry['parameters']:,}",
        _rate(entry, "ours"),
        _rate(entry, "peer"),
        _ratio(entry),
        ", ".join(_percent(entry[f"{side}_overhead"]) for side in ("ours", "peer")),
        entry["ours_variant"],
        f"{entry['peer']}: {entry['peer_variant']}" if "peer_variant" in entry else "",
    ]


def _rate(entry: Entry, side: str) -> str:
    values = [entry[f"{side}_{name}"] for name in ("images_per_s", "lowest", "highest")]
    if None in values:
        return ""
    median, low, high = map(_number, values)
    return f"{median} ({low} to {high})"


def _ratio(entry: Entry) -> str:
    if entry["ratio"] is None:
        return ""
    return f"{entry['ratio']:.2f} ({entry['ratio_lowest']:.2f} to {entry['ratio_highest']:.2f})"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
