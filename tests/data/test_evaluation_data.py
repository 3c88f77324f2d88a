"""Evaluation: every example exactly once."""

import contextlib
import multiprocessing

import cv2
import jax
import numpy as np
import pytest

from chanattn import data
from chanattn.data.fields import Whereabouts
from chanattn.errors import UsageError


def one_pass(evaluation):
    prepare = jax.jit(evaluation.prepare)
    batches = [jax.tree.map(np.asarray, prepare(feed)) for feed in evaluation.feeds()]
    assert len(batches) == evaluation.num_batches
    return {k: np.concatenate([b[k] for b in batches]) for k in batches[0]}


@pytest.mark.parametrize("loader", ["device", "stream"])
@pytest.mark.parametrize("batch_size", [1, 5, 13, 64])
def test_every_example_counts_once(batch_size, loader, mesh, make_config, picture_folder):
    config = make_config(
        "folder", loader=loader, data_dir=str(picture_folder), mean=(0.0,) * 3, std=(1.0,) * 3
    )
    evaluation = data.evaluation(config, mesh, batch_size=batch_size)
    assert evaluation.num_examples == 13
    for _ in range(2):  # The second pass may come from device memory.
        found = one_pass(evaluation)
        real = found["mask"] == 1
        assert found["mask"].sum() == 13
        pictures = np.rint((found["image"][real][:, 0, 0, 0] * 255 - 3) / 5).astype(int)
        assert sorted(pictures) == list(range(13))
        np.testing.assert_array_equal(found["label"][real], pictures % 3)
        assert (found["label"][~real] == 0).all()
        assert found["image"].shape[1:] == (20, 24, 3)


@pytest.mark.parametrize("loader", ["device", "stream"])
def test_boxes_can_be_brought_back_to_the_stored_picture(loader, mesh, make_config, tmp_path):
    sizes = [(20, 30), (47, 24), (32, 36), (90, 120), (13, 57)]
    (tmp_path / "test" / "images").mkdir(parents=True)
    (tmp_path / "test" / "labels").mkdir()
    (tmp_path / "classes.txt").write_text("box")
    for number, (height, width) in enumerate(sizes):
        picture = np.zeros((height, width, 3), np.uint8)
        picture[height // 4 : height // 2, width // 2 : width] = 255
        cv2.imwrite(str(tmp_path / "test" / "images" / f"{number}.png"), picture)
        y0, y1, x0 = height // 4 / height, height // 2 / height, width // 2 / width
        line = f"0 {(x0 + 1) / 2} {(y0 + y1) / 2} {1 - x0} {y1 - y0}"
        (tmp_path / "test" / "labels" / f"{number}.txt").write_text(line)
    config = make_config("folder", loader=loader, data_dir=str(tmp_path), image_size=(32, 36))
    config.dataset.update(mean=(0.0,) * 3, std=(1.0,) * 3)
    evaluation = data.evaluation(config, mesh, None, 4, ["boxes"], whereabouts=True)
    found = one_pass(evaluation)
    assert found["mask"].sum() == 5
    for row in np.flatnonzero(found["mask"]):
        height, width = sizes[found["index"][row]]
        to = Whereabouts.placement(found["whereabouts"][row], (32, 36))
        assert to.stored == (height, width)
        box = found["boxes"][row, 0]
        expected = [width // 2, height // 4, width, height // 2]
        np.testing.assert_allclose(to.corners_back(box), expected, atol=1e-3)
        area = (height // 2 - height // 4) * (width - width // 2)
        np.testing.assert_allclose(found["boxes_area"][row, 0], area, rtol=1e-4)
        bright = found["image"][row, ..., 0] > 0.5
        rows, columns = np.flatnonzero(bright.any(1)), np.flatnonzero(bright.any(0))
        edges = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        np.testing.assert_allclose(box, edges, atol=1.01)
    assert "whereabouts" not in one_pass(data.evaluation(config, mesh, None, 4, ["boxes"]))


def test_another_split_and_slice_can_be_asked_for(mesh, make_config):
    evaluation = data.evaluation(make_config("digits"), mesh, split="train[:50]", batch_size=20)
    assert one_pass(evaluation)["mask"].sum() == 50


def test_class_count_is_checked(mesh, make_config):
    config = make_config("digits")
    config.model.num_classes = 3
    with pytest.raises(UsageError, match="has 10 classes"):
        data.evaluation(config, mesh)


def test_an_interrupted_pass_does_not_shorten_the_next(mesh, make_config):
    evaluation = data.evaluation(make_config("digits", loader="device"), mesh, batch_size=100)
    feeds = evaluation.feeds()
    next(feeds)
    feeds.close()
    assert one_pass(evaluation)["mask"].sum() == 355


def workers():
    return {process.pid for process in multiprocessing.active_children()}


def test_the_workers_of_one_pass_serve_the_next_and_end_with_the_data(mesh, make_config):
    before = workers()
    config = make_config("digits", loader="stream", workers=2)
    expected = one_pass(
        data.evaluation(make_config("digits", loader="device"), mesh, batch_size=100)
    )
    with contextlib.closing(data.evaluation(config, mesh, batch_size=100)) as evaluation:
        passes = []
        for _ in range(2):
            for name, values in one_pass(evaluation).items():
                np.testing.assert_array_equal(values, expected[name])
            passes.append(workers() - before)
        assert len(passes[0]) == 2
        assert passes[1] == passes[0]
        feeds = evaluation.feeds()
        next(feeds)
        feeds.close()  # what begins in the middle of a pass serves no other
        assert workers() == before
        assert one_pass(evaluation)["mask"].sum() == 355
        assert len(workers() - before) == 2
    assert workers() == before
