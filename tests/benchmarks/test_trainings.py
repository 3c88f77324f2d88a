"""What startup, loop and pipeline measure, in small."""

import io
import os
import time

import numpy as np
import pytest

from benchmarks import loop, pipeline, recipes, startup, table
from benchmarks.results import ROOT
from chanattn.data.sources import open_source
from chanattn.errors import UsageError
from chanattn.training.validate import validate

PRINTED = """JAX 0.10.2, process 0 of 1
devices: 1 x cpu (cpu)
compiled in 2.5 s
step 1/528  loss 2.3
step 2/528  loss 2.2
"""


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_recipes_are_valid_and_need_no_download(name):
    config = recipes.load(name, batch_size=8)
    validate(config)
    assert config.dataset.name in ("digits", "synthetic")
    assert config.batch_size == 8


def test_an_unknown_recipe_is_refused_with_the_nearest_name():
    with pytest.raises(UsageError, match="Did you mean 'digits'"):
        recipes.names("resnet20,digit")


def test_phases_end_with_their_lines_and_reading_stops_after_the_first_step():
    lines = io.StringIO(PRINTED)
    times = startup.read_phases(lines, time.perf_counter())
    assert list(times) == ["initialised_s", "compiled_s", "first_step_s"]
    assert sorted(times.values()) == list(times.values())
    assert lines.readline() == "step 2/528  loss 2.2\n"


def test_a_training_that_ends_early_lacks_phases():
    lines = io.StringIO("".join(PRINTED.splitlines(keepends=True)[:2]))
    assert list(startup.read_phases(lines, 0.0)) == ["initialised_s"]


def test_the_lines_are_those_that_the_loop_prints():
    mesh, progress = (
        (ROOT / "chanattn" / "training" / f"{n}.py").read_text() for n in ("mesh", "progress")
    )
    assert 'f"JAX {' in mesh
    assert 'f"compiled in {' in progress
    assert 'f"step {step}/{' in progress


def test_processor_seconds_of_this_process_are_those_of_its_clock():
    told = startup.processor_seconds(os.getpid())["processor_s"]
    assert told == pytest.approx(time.process_time(), abs=0.5)


def test_the_peer_of_the_table_gets_the_pictures_that_we_train_on(tmp_path):
    table.write_data(tmp_path / "digits.npz")
    config = recipes.load("digits")
    with np.load(tmp_path / "digits.npz") as stored:
        for split in ("train", "test"):
            ours = open_source(config.dataset, split)
            first = ours.read([0])[0]
            expected = np.asarray(first.image, np.float32) / 255
            np.testing.assert_allclose(
                stored[f"{split}_images"][0],
                np.broadcast_to(expected[..., 0], (3, 8, 8)),
                rtol=1e-6,
            )
            assert len(stored[f"{split}_labels"]) == len(ours)


def test_a_row_of_the_table_that_does_not_exist_is_refused():
    with pytest.raises(UsageError, match="--variants=nine"):
        table.chosen("nine")


@pytest.mark.slow
def test_loop_step_and_fixed_step_are_measured_in_turns():
    row = loop.measure("digits", steps=8, rounds=1, batch_size=16, cpu_devices=1)
    assert row["batch"] == 16
    assert row["loop_over_step"] == row["loop_images_per_s"] / row["step_images_per_s"] > 0
    assert row["loop_over_fixed"] == row["loop_images_per_s"] / row["fixed_images_per_s"] > 0


def test_sets_on_the_device_and_jpegs_are_measured(tmp_path):
    kilobytes = pipeline.write_jpegs(tmp_path, 20)
    files = [list((tmp_path / split).rglob("*.jpg")) for split in ("train", "test")]
    assert [len(found) for found in files] == [20, 2]
    assert 50 < kilobytes < 200  # ImageNet's mean is about 110
    work = [("digits", recipes.load("digits")), ("jpegs", pipeline.jpegs(str(tmp_path), 4, 0))]
    rows = pipeline.measure(work, batches=2, rounds=1)
    assert [(row["source"], row["batch"]) for row in rows] == [("digits", 64), ("jpegs", 4)]
    assert all(0 < row["spread"][0] <= row["images_per_s"] for row in rows)
