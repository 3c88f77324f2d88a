"""What has been counted and measured, as tables."""

from collections.abc import Iterator, Mapping
from typing import Any

from chanattn.analysis.cost.grid import Grid
from chanattn.analysis.hardware import describe
from chanattn.analysis.modules import ModuleCost, NetworkCost
from chanattn.analysis.timing import Spread

Entry = Mapping[str, Any]


def by_module(cost: NetworkCost, network: str, depth: int) -> Grid:
    """Parameters and MACs of the modules down to `depth` names, and the mechanisms' part of each.

    Args:
        cost: Of the network.
        network: Its name.
        depth: From 1.
    """
    total = cost.total

    def row(name: str, own: ModuleCost, attention: ModuleCost) -> tuple[str, ...]:
        inside = (attention.parameters, attention.macs.total, attention.macs.elementwise)
        return (
            name,
            f"{own.parameters:,}",
            _share(own.parameters, total.parameters),
            f"{own.macs.total:,}",
            _share(own.macs.total, total.macs.total),
            f"{own.macs.elementwise:,}",
            *(f"{value:,}" if value else "" for value in inside),
        )

    rows = [
        row(
            ".".join(path) or "(no module)",
            own,
            cost.attention_within(path) if path else ModuleCost(),
        )
        for path, own in cost.grouped(depth).items()
        if own.parameters or own.macs.products
    ]
    return Grid(
        f"{network}, by module",
        (
            *("module", "parameters", "", "MACs", "", "element-wise"),
            *("of attention:\nparameters", "MACs", "element-wise"),
        ),
        (*rows, row("total", total, cost.attention_total)),
        total=True,
    )


def counts(entries: Mapping[str, Entry], network: str, against: str) -> Grid:
    """Parameters and MACs of the variants, and what each has more than the one called `against`.

    Args:
        entries: Of `cost.json`, by mechanism.
        network: Name of the architecture.
        against: Key of one of the entries; empty: none.
    """
    plain = entries.get(against)
    columns, rows = ["mechanism"], []
    for label in ("parameters", "MACs", "element-wise"):
        columns += [label, "more", "%"] if plain else [label]
    for name, entry in entries.items():
        cells = [name]
        for key in ("parameters", "macs", "elementwise"):
            cells.append(f"{entry[key]:,}")
            if plain:
                more = entry[key] - plain[key]
                percent = f"{100 * more / plain[key]:+.2f}" if plain[key] else ""
                cells += ["", ""] if name == against else [f"{more:+,}", percent]
        rows.append(tuple(cells))
    (first, *_) = entries.values()
    height, width, _ = first["image_shape"]
    title = f"{network}, one picture of {height}x{width}, {first['num_classes']} classes"
    return Grid(title, tuple(columns), tuple(rows))


def speeds(entries: Mapping[str, Entry], network: str, against: str) -> Iterator[Grid]:
    """The training step and the forward pass of the variants, all measured under the same conditions.

    Args:
        entries: Of `cost.json`, by mechanism.
        network: Name of the architecture.
        against: Key of the entry with whose time the others are compared; empty: none.
    """
    (first, *_) = entries.values()
    conditions = f"batches of {first['batch_size']}, {first['precision']}"
    for title, kind, step in (
        ("training step", "train", "train_step_ms"),
        ("forward pass", "infer", "infer_ms"),
    ):
        rows = [
            (
                name,
                *_spread(entry[f"{kind}_images_per_s"]),
                _number(entry[step]["median"]),
                *_longer(name, entries, step, against),
                *([_mebibytes(entry["peak_memory_bytes"])] if kind == "train" else []),
            )
            for name, entry in entries.items()
        ]
        columns = [
            "mechanism",
            "images/s",
            "low to high",
            "ms",
            *(["more time"] if against else []),
        ]
        columns += ["peak MiB"] if kind == "train" else []
        yield Grid(f"{network}, {title}, {conditions}", tuple(columns), tuple(rows))


def latency(entries: Mapping[str, Entry], network: str, against: str) -> Grid:
    """The forward pass of one picture; arguments as of `speeds`."""
    (first, *_) = entries.values()
    key = "infer_latency_ms"
    rows = [
        (name, *_spread(entry[key]), *_longer(name, entries, key, against))
        for name, entry in entries.items()
    ]
    columns = ("mechanism", "ms", "low to high", *(["more time"] if against else []))
    return Grid(f"{network}, latency of one picture, {first['precision']}", columns, tuple(rows))


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
            " median and extremes of the ratios within a round. Training: the step of train.py with"
            " augmentation, the batch already in memory. Latency: one device, every result waited for."
        )
    return lines


def _longer(name: str, entries: Mapping[str, Entry], key: str, against: str) -> tuple[str, ...]:
    """How much more time than `against`, in per cent: the median of the rounds and their extremes."""
    if not against or name == against:
        return ("",) if against else ()
    ratio = Spread.of_ratios(entries[name][key]["rounds"], entries[against][key]["rounds"])
    median, low, high = (100 * (value - 1) for value in (ratio.median, ratio.low, ratio.high))
    return (f"{median:+.1f} % ({low:+.1f} to {high:+.1f})",)


def _spread(values: Entry) -> tuple[str, str]:
    return _number(values["median"]), f"{_number(values['low'])} to {_number(values['high'])}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _mebibytes(number: int | None) -> str:
    return "unknown" if number is None else f"{number / 2**20:,.1f}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else ""


def _listed(values: set[Any]) -> str:
    return " or ".join(map(str, sorted(values)))
