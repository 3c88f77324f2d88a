"""What the soak of a worker that stays draws and finds, on figures made up."""

import json
from collections import Counter

import pytest

from tests.soak.staying import draw, verdict


def test_what_grows_from_run_to_run_is_measured_behind_the_warm_up():
    warm = [(2.0, 300 + 8 * run, 30, 7) for run in range(50)]
    flat = [(1.0, 700 + run % 2, 30, 7) for run in range(150)]
    leaks = [(1.0, 700 + 0.5 * run, 31, 9) for run in range(150)]
    assert verdict(warm + flat)["growth_kb_a_run"] == pytest.approx(0, abs=1)
    row = verdict(warm + leaks)
    assert row["growth_kb_a_run"] == 500
    assert row["runs_behind_warm_up"] == 150
    assert (row["most_threads"], row["most_files"]) == (31, 9)


def test_every_variant_is_drawn_first_and_no_run_twice(tmp_path):
    jobs = draw(tmp_path, 20, 6, 1)
    assert len({job.variant for job in jobs[:9]}) == 9
    assert set(Counter(job.workdir for job in jobs).values()) == {1}
    assert json.loads(jobs[-1].config.read_text())["seed"] == jobs[-1].seed
