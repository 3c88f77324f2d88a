"""The tables of docs/does_it_matter.md, of the inspections in results/inspections.

    python -m docs.generate.does_it_matter
    python -m docs.generate.does_it_matter SWEEP/runs/se/seed0 ...

Runs that are named were inspected by `python -m chanattn.inspect RUN`; their numbers are copied first,
without pictures and without what is told of single channels.
"""

import json
import re
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from chanattn.markdown import table

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "does_it_matter.md"
FOLDER = ROOT / "results" / "inspections"

Inspection = dict[str, Any]

_KINDS = {
    "another": "another picture's",
    "mean": "mean",
    "class_mean": "class mean",
    "one": "one number",
    "permuted": "permuted",
}
_LEFT_OUT = ("single_pictures", "colours", "kinds")
_OF_MODULES = ("strongest_response", "response")
_OF_CHANNELS = ("loss_increase", "intervals")
_OF_SITES = ("histogram", "shown_units", "strongest", "by_word", "weight")


def copy(run: Path) -> None:
    """Copies the numbers of an inspected run, named after data, variant and seed."""
    found = json.loads((run / "inspection" / "inspection.json").read_text(encoding="utf-8"))
    kept = {name: value for name, value in found.items() if name not in _LEFT_OUT}
    kept["run"] = f"runs/{run.parent.name}/{run.name}"
    kept["how"]["command"] = [
        part.replace(str(run), kept["run"]) for part in kept["how"]["command"]
    ]
    if kept["static_twin"]:
        twin = Path(kept["static_twin"]["run"])
        kept["static_twin"]["run"] = f"runs/{twin.parent.name}/{twin.name}"
    for module in kept["modules"]:
        for name in _OF_MODULES:
            module.pop(name, None)
        for site in module["sites"]:
            for name in _OF_SITES:
                site.pop(name, None)
        for way in ("knocked_out", "ablated"):
            part = (module["importance"] or {}).get(way, {})
            for name in _OF_CHANNELS:
                part.pop(name, None)
        for name, curve in (module["soft_to_hard"] or {}).items():
            if name != "kept":
                for point in curve:
                    for metric in point.values():
                        for bounds in ("interval", "difference_interval"):
                            metric.pop(bounds)
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{kept['dataset']}-{run.parent.name}-{run.name}.json"
    path.write_text(json.dumps(kept, ensure_ascii=False) + "\n", encoding="utf-8")


def inspections() -> dict[tuple[str, str], list[Inspection]]:
    """What was copied, by data set and variant; one inspection a seed."""
    found: dict[tuple[str, str], list[Inspection]] = {}
    for path in sorted(FOLDER.glob("*.json")):
        inspection = json.loads(path.read_text(encoding="utf-8"))
        variant = Path(inspection["run"]).parent.name
        found.setdefault((inspection["dataset"], variant), []).append(inspection)
    return found


def replaced(dataset: str) -> Iterator[tuple[str, ...]]:
    """Rows of a variant: what is left of the metric when all its weights are replaced."""
    for (data, variant), seeds in inspections().items():
        if data == dataset:
            metric = seeds[0]["score"]["name"]
            untouched = [seed["input_matters"]["untouched"][metric]["value"] for seed in seeds]
            yield (
                f"`{variant}`",
                f"{100 * statistics.mean(untouched):.2f}",
                *(difference(seeds, kind, metric) for kind in _KINDS),
            )


def difference(seeds: Sequence[Inspection], kind: str, metric: str) -> str:
    """Mean over the seeds in points, range, and how many intervals leave out 0; of one seed, its interval."""
    found = [
        seed["input_matters"]["replaced"][kind]["all"][metric]
        for seed in seeds
        if kind in seed["input_matters"]["replaced"]
    ]
    if not found:
        return ""
    differences = [100 * each["difference"] for each in found]
    bounds = [each["difference_interval"] for each in found if each["difference_interval"]]
    if len(seeds) == 1:
        shown = [f" [{100 * low:+.2f}, {100 * high:+.2f}]" for low, high in bounds]
        return f"{differences[0]:+.2f}{''.join(shown)}"
    sure = sum(low > 0 or high < 0 for low, high in bounds)
    return f"{statistics.mean(differences):+.2f} ({_range(differences, '+.2f')}; {sure} of {len(bounds)})"


def _range(values: Sequence[float], form: str) -> str:
    low, high = min(values), max(values)
    return f"{low:{form}} to {high:{form}}" if low < high else f"{low:{form}}"


def varying(dataset: str) -> Iterator[tuple[str, ...]]:
    """Rows of a variant and module: what its weights do, means over the seeds."""
    for (data, variant), seeds in inspections().items():
        if data != dataset:
            continue
        for number, module in enumerate(seeds[0]["modules"]):
            modules = [seed["modules"][number] for seed in seeds]
            for place, site in enumerate(module["sites"]):
                sites = [each["sites"][place] for each in modules]
                ranked = _ranked([each for each in modules if _is_of(each, site["name"])])
                yield (
                    f"`{variant}`",
                    f"`{site['name']}`",
                    " x ".join(map(str, site["shape"])),
                    _mean(sites, lambda site: site["mean"], ".2f"),
                    _mean(sites, lambda site: site["deviation"], ".3f"),
                    _mean(sites, lambda site: site["deviation_between_units"], ".3f"),
                    _mean(sites, lambda site: site["effective_rank"], ".1f"),
                    _mean(sites, lambda site: site["between_classes"]["share"], ".2f"),
                    *ranked,
                )


def _is_of(module: Any, site: str) -> bool:
    return bool(module["importance"]) and module["importance"]["site"] == site


def _ranked(modules: Sequence[Any]) -> tuple[str, str]:
    """Rank correlations of a channel's mean weight with what the loss gains without it, and by its mean."""
    return (
        _mean(
            modules, lambda m: m["importance"]["knocked_out"]["rank_correlation"]["value"], "+.2f"
        ),
        _mean(modules, lambda m: m["importance"]["ablated"]["rank_correlation"]["value"], "+.2f"),
    )


def _mean(parts: Sequence[Any], value: Callable[[Any], float | None], form: str) -> str:
    """The mean over the seeds; empty where there is nothing to measure."""
    found = []
    for part in parts:
        try:
            each = value(part)
        except (KeyError, TypeError):  # is not measured for this kind of weights
            continue
        if each is not None:
            found.append(each)
    return f"{statistics.mean(found):{form}}" if found else ""


def halved(dataset: str) -> Iterator[tuple[str, ...]]:
    """Rows of a variant: the metric with half of the channels of one module, the mean over the modules."""
    for (data, variant), seeds in inspections().items():
        if data != dataset:
            continue
        metric = seeds[0]["score"]["name"]
        curves = [m["soft_to_hard"] for seed in seeds for m in seed["modules"] if m["soft_to_hard"]]
        if curves and metric in curves[0]["strongest"][0]:  # no average precision there
            cells = []
            for chosen in ("strongest", "random", "weakest"):
                values = [curve[chosen][-2][metric]["difference"] for curve in curves]
                cells.append(f"{100 * statistics.mean(values):+.2f}")
            yield (f"`{variant}`", *cells)


def tables() -> dict[str, list[str]]:
    """The tables of the page by their names."""
    found = {}
    for dataset in dict.fromkeys(dataset for dataset, _ in inspections()):
        found[f"replaced {dataset}"] = table(
            ("variant", "untouched", *_KINDS.values()), replaced(dataset)
        )
        found[f"varying {dataset}"] = table(
            (
                *("variant", "weights", "shape", "mean", "deviation over pictures"),
                *("between channels", "effective rank", "between classes"),
                *("rank correlation, weight 0", "mean weight"),
            ),
            varying(dataset),
        )
        found[f"halved {dataset}"] = table(
            ("variant", "strongest half", "random half", "weakest half"), halved(dataset)
        )
    return found


def markdown(page: str) -> str:
    """The text of the page with its tables as they are now.

    Raises:
        KeyError: the page names a table that there is not.
    """
    found = tables()

    def filled(match: re.Match[str]) -> str:
        return "\n".join((match[1], "", *found[match[2]], "", match[3]))

    marks = re.compile(r"(<!-- table: (.*?) -->)\n.*?(<!-- end -->)", re.DOTALL)
    return marks.sub(filled, page)


if __name__ == "__main__":
    for run in sys.argv[1:]:
        copy(Path(run).resolve())
    PAGE.write_text(markdown(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
