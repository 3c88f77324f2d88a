"""What has been measured as tables, for the terminal and for Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from chanattn.analysis.hardware import describe
from chanattn.analysis.modules import NetworkCost
from chanattn.analysis.timing import Spread

Entry = Mapping[str, Any]


@dataclass(frozen=True)
class Grid:
    """A table: the first column is text, the others are numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    last_is_total: bool = False

    def rich(self) -> Table:
        """For the terminal."""
        table = Table(title=self.title, title_justify="left", box=box.SIMPLE_HEAD)
        for index, column in enumerate(self.columns):
            table.add_column(column, justify="right" if index else "left", no_wrap=True)
        for index, row in enumerate(self.rows):
            if self.last_is_total and index == len(self.rows) - 1:
                table.add_section()
            table.add_row(*map(Text, row))
        return table

    def markdown(self) -> str:
        """For a page."""
        head = " | ".join(self.columns)
        rule = " | ".join("---:" if index else "---" for index in range(len(self.columns)))
        body = (" | ".join(cell.replace("|", r"\|") for cell in row) for row in self.rows)
        lines = [f"**{self.title}**", "", *(f"| {line} |" for line in (head, rule, *body))]
        return "\n".join(lines) + "\n"


def by_module(cost: NetworkCost, network: str, depth: int) -> Grid:
    """Parameters and MACs of the modules down to `depth` names, and the mechanisms' part of each.

    Args:
        cost: Of the network.
        network: Its name.
        depth: From 1.
    """
    total = cost.total
    rows = []
    for path, own in cost.grouped(depth).items():
        if not path or not (own.parameters or own.macs.products):
            continue
        inside = cost.attention_within(path)
        rows.append((".".join(path), own, inside))
    rows.append(("total", total, cost.attention_total))
    return Grid(
        f"{network}, by module",
        (
            *("module", "parameters", "share", "MACs", "share", "element-wise"),
            *("attention: parameters", "MACs", "element-wise"),
        ),
        tuple(
            (
                name,
                f"{own.parameters:,}",
                _share(own.parameters, total.parameters),
                f"{own.macs.total:,}",
                _share(own.macs.total, total.macs.total),
                f"{own.macs.elementwise:,}",
                *(
                    f"{value:,}" if value else ""
                    for value in (inside.parameters, inside.macs.total, inside.macs.elementwise)
                ),
            )
            for name, own, inside in rows
        ),
        last_is_total=True,
    )


def counts(entries: Mapping[str, Entry], network: str, against: str) -> Grid:
    """Parameters and MACs of the variants, and what each has more than the one called `against`.

    Args:
        entries: Of `cost.json`, by mechanism.
        network: Name of the architecture.
        against: Key of one of the entries; empty: none.
    """
    keys = ("parameters", "macs", "elementwise")
    plain = entries.get(against)
    columns = ["mechanism"]
    for label in ("parameters", "MACs", "element-wise"):
        columns += [label, "more", "%"] if plain else [label]
    rows = []
    for name, entry in entries.items():
        cells = [name]
        for key in keys:
            cells.append(f"{entry[key]:,}")
            if plain:
                more = entry[key] - plain[key]
                cells += ["", ""] if name == against else [f"{more:+,}", _percent(more, plain[key])]
        rows.append(tuple(cells))
    (first, *_) = entries.values()
    height, width, _ = first["image_shape"]
    title = f"{network}, one picture of {height}x{width}, {first['num_classes']} classes"
    return Grid(title, tuple(columns), tuple(rows))


def speeds(entries: Mapping[str, Entry], network: str, against: str) -> Grid:
    """Rates and times of the variants, and how much longer each takes than the one called `against`.

    Args:
        entries: Of `cost.json`, by mechanism, all measured under the same conditions.
        network: Name of the architecture.
        against: Key of one of the entries; empty: none.
    """
    plain = entries.get(against)
    columns = ["mechanism"]
    for label in ("training images/s", "forward images/s", "latency ms"):
        columns += [label, "low to high", *(["more time"] if plain else [])]
    rows = []
    for name, entry in entries.items():
        cells = [name]
        for shown, timed in (
            ("train_images_per_s", "train_step_ms"),
            ("infer_images_per_s", "infer_ms"),
            ("infer_latency_ms", "infer_latency_ms"),
        ):
            spread = entry[shown]
            cells += [_number(spread["median"])]
            cells += [f"{_number(spread['low'])} to {_number(spread['high'])}"]
            if plain:
                cells.append("" if name == against else _longer(entry[timed], plain[timed]))
        memory = entry["peak_memory_bytes"]
        rows.append((*cells, "" if memory is None else f"{memory / 2**20:,.0f}"))
    (first, *_) = entries.values()
    title = f"{network}, batches of {first['batch_size']}, {first['precision']}"
    return Grid(title, (*columns, "training MiB"), tuple(rows))


def notes(measured: Entry) -> list[str]:
    """What a reader of the tables has to know.

    Args:
        measured: The content of `cost.json`.
    """
    how, entries = measured["how"], list(measured["variants"].values())
    lines = [f"Conventions: {measured['conventions']}."]
    if "rounds" in how:
        devices = {entry["devices"] for entry in entries}
        kernels = {entry["kernels"] for entry in entries}
        lines.append(
            f"Timed on {describe(measured['hardware'])}; devices of a batch: {_listed(devices)},"
            f" convolutions: {_listed(kernels)}. Medians of {how['rounds']} rounds in which all programs take"
            f" turns of about {how['seconds_a_turn']} s, with the lowest and the highest round; more time:"
            " median and extremes of the ratios within a round. Latency: one picture on one device. Training:"
            " the step of train.py with augmentation, the batch already in memory."
        )
    return lines


def _longer(times: Entry, plain: Entry) -> str:
    """How much more time, in per cent: the median of the rounds and their extremes."""
    ratio = Spread.of_ratios(times["rounds"], plain["rounds"])
    median, low, high = (100 * (value - 1) for value in (ratio.median, ratio.low, ratio.high))
    return f"{median:+.1f} % ({low:+.1f} to {high:+.1f})"


def _listed(values: set[Any]) -> str:
    return " or ".join(map(str, sorted(values)))


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else ""


def _percent(more: int, whole: int) -> str:
    return f"{100 * more / whole:+.2f}" if whole else ""


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def markdown(grids: Sequence[Grid], notes: Sequence[str]) -> str:
    """All tables of a page, and what is to be known of them."""
    return "\n".join([*(grid.markdown() for grid in grids), *(f"{note}\n" for note in notes)])
