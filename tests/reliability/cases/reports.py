"""Reports on what is no sweep, or one that is damaged."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.reliability.case import Case
from tests.reliability.cases.runs import sweep
from tests.reliability.making import run, text

REPORT = "python -m chanattn.report S"


def changed(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """The sweep with another index."""

    def make(folder: Path) -> None:
        sweep(folder)
        path = folder / "S" / "sweep.json"
        index = json.loads(path.read_text())
        change(index)
        path.write_text(json.dumps(index))

    return make


def _of_another_recipe(folder: Path) -> None:
    sweep(folder)
    path = folder / "S" / "runs" / "variant1" / "seed0" / "config.json"
    path.write_text(path.read_text().replace('"batch_size": 64', '"batch_size": 32'))


CASES = (
    Case("nothing to report on", "python -m chanattn.report"),
    Case("folder that is absent", REPORT),
    Case("empty folder", REPORT, lambda folder: (folder / "S").mkdir()),
    Case("a single run", "python -m chanattn.report RUN", run),
    Case("several sweeps without a place for the report", f"{REPORT} S", sweep),
    Case("metric that is none", f"{REPORT} --metric=top1", sweep),
    Case("metric that no run has", f"{REPORT} --metric=test/top7", sweep),
    Case("column that the table lacks", f"{REPORT} --sort=men", sweep),
    Case(
        "report into a file",
        f"{REPORT} --output=OUT",
        lambda folder: (sweep(folder), text("OUT", "")(folder))[0],
    ),
    Case("sweep.json that is no JSON", REPORT, text("S/sweep.json", "{'format': 1}")),
    Case("sweep.json that is a list", REPORT, text("S/sweep.json", "[]")),
    Case("sweep.json without seeds", REPORT, changed(lambda index: index.pop("seeds"))),
    Case(
        "sweep.json with a baseline that is no variant",
        REPORT,
        changed(lambda index: index.update(baseline="x")),
    ),
    Case(
        "sweep.json with a folder that leaves the sweep",
        REPORT,
        changed(lambda index: index["variants"]["se"].update(directory="../../etc")),
    ),
    Case("a run of another recipe", REPORT, _of_another_recipe),
)
