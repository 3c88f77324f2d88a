"""One measurement as it is written down, and what follows from several of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.pairing import Timing
from benchmarks.rows import Row
from benchmarks.sides import Side
from chanattn.analysis.timing import Spread

Entry = dict[str, Any]

_NOTABLE = 0.05


def entry(
    row: Row,
    mode: str,
    sides: Sequence[Side],
    timing: Timing,
    *,
    peer: str | None,
    settings: Mapping[str, Any],
) -> Entry:
    """What is written of one row and mode.

    Of networks with different numbers of parameters no ratio is given: they are not the same network.

    Args:
        row: what was run.
        mode: train or infer.
        sides: ours, and the peer's if there is one.
        timing: of the sides, in that order.
        peer: timm, flax or None.
        settings: what all rows share, such as the number of threads.
    """
    ours, others = sides[0], settings.get("others_share")
    result: Entry = {
        "row": row.name,
        "mode": mode,
        "peer": peer,
        **_rates("ours", timing.rate(0)),
        **_rates("peer", None),
        **_ratio(None),
        "batch": row.batch,
        "image_size": row.shape[1],
        "shape": list(row.shape),
        "precision": row.precision,
        "rounds": len(timing.rates[0]),
        "ours_steps": timing.steps[0],
        "ours_variant": ours.variant,
        "parameters": ours.parameters,
        "ours_overhead": None,
        "peer_overhead": None,
        **settings,
        "notes": [],
    }
    if others is not None and others > _NOTABLE:
        result["notes"].append(f"other processes took {others:.0%} of the cores meanwhile")
    if len(sides) == 2:
        other = sides[1]
        result |= {
            **_rates("peer", timing.rate(1)),
            "peer_steps": timing.steps[1],
            "peer_variant": other.variant,
            "peer_variants_images_per_s": getattr(other, "images_per_s", {}),
            "peer_parameters": other.parameters,
            "notes": [*result["notes"], *getattr(other, "notes", [])],
        }
        if ours.parameters == other.parameters:
            result |= _ratio(timing.ratio())
        else:
            result["notes"].append(
                f"no ratio: {ours.parameters:,} parameters against the peer's {other.parameters:,}"
            )
    return result


def with_overheads(entries: Sequence[Entry]) -> list[Entry]:
    """The entries, with each mechanism's share of the time: 1 - images/s over images/s of the plain backbone.

    None where the plain backbone was not measured alike.
    """
    plain = {_setting(e): e for e in entries if "@" not in e["row"] and "_" not in e["row"]}
    completed = []
    for e in entries:
        base = plain.get(_setting(e))
        overheads = {}
        if base is not None and "_" in e["row"]:
            for side in ("ours", "peer"):
                rates = (e[f"{side}_images_per_s"], base[f"{side}_images_per_s"])
                if None not in rates:
                    overheads[f"{side}_overhead"] = round(1 - rates[0] / rates[1], 4)
        completed.append(e | overheads)
    return completed


def _setting(e: Entry) -> tuple[Any, ...]:
    """What a row and its plain backbone have in common."""
    return e["row"].partition("_")[0], e["mode"], e["batch"], e["precision"], e["peer"]


def _rates(side: str, rate: Spread | None) -> Entry:
    names = (f"{side}_images_per_s", f"{side}_lowest", f"{side}_highest")
    values = (rate.median, rate.low, rate.high) if rate else (None, None, None)
    return {n: v and float(f"{v:.6g}") for n, v in zip(names, values, strict=True)}


def _ratio(ratio: Spread | None) -> Entry:
    names = ("ratio", "ratio_lowest", "ratio_highest")
    values = (ratio.median, ratio.low, ratio.high) if ratio else (None, None, None)
    return {n: v and round(v, 4) for n, v in zip(names, values, strict=True)}
