"""Published figures have no typing mistakes: each was read a second time, into a table of its own."""

import csv
from collections import defaultdict

import pytest

from configs.ablations import catalogue, scales
from tests.conftest import ROOT

Figures = dict[str, float | tuple[float, float]]

READ_AGAIN: dict[tuple[str, str, int], Figures] = defaultdict(dict)
with (ROOT / "tests" / "golden" / "published.csv").open(newline="") as _table:
    for _row in csv.DictReader(_table):
        _value, _deviation = float(_row["value"]), _row["deviation"]
        READ_AGAIN[_row["sweep"], _row["scale"], int(_row["table"])][_row["variant"]] = (
            (_value, float(_deviation)) if _deviation else _value
        )


@pytest.mark.parametrize("name", sorted({name for name, _, _ in READ_AGAIN}))
def test_the_figures_of_a_sweep_are_those_of_its_source(name: str) -> None:
    for (sweep, scale, number), figures in READ_AGAIN.items():
        if sweep == name:
            published = catalogue.load(name).sweep(scale).published[number]
            assert published.values == figures, (scale, number)
            assert published.source, (scale, number)


def test_no_figure_has_been_read_once_only() -> None:
    """Small scales, beside which those of a large one stand, may lack some of its variants."""
    for name in (*catalogue.NAMES, *catalogue.OTHER_TASKS):
        known = [figures for (sweep, _, _), figures in READ_AGAIN.items() if sweep == name]
        module = catalogue.load(name)
        for scale in module.SCALES if name in catalogue.OTHER_TASKS else scales.SCALES:
            for published in module.sweep(scale).published:
                here = published.values.items()
                assert any(here <= figures.items() for figures in known), (name, scale)
