"""Evaluations of segmentation count every pixel once, whatever the batches, devices, heads and sizes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from members import random_like
from sklearn.metrics import accuracy_score, confusion_matrix, jaccard_score

from chanattn import data, tasks
from chanattn.config import get_config
from chanattn.data import loaders
from chanattn.errors import UsageError
from chanattn.training.views import Views
from tests.support.label_maps import CLASSES, IGNORE, Pictures, devices, evaluated, predicted

PROGRAM = Path(__file__).with_name("several_devices.py")
ROOT = PROGRAM.parents[2]
SIZE = (9, 7)


def check(found: dict[str, Any], source: Pictures, answers: list[np.ndarray]) -> None:
    """Against scikit-learn, on the pixels that have a class, of all pictures one behind the other."""
    label = np.concatenate([labels.ravel() for labels in source.label_maps])
    answer = np.concatenate([each.ravel() for each in answers])[label != IGNORE]
    label = label[label != IGNORE]
    matrix = confusion_matrix(label, answer, labels=range(CLASSES))
    np.testing.assert_array_equal(found["confusion_matrix"], matrix)
    assert found["pixel_accuracy"] == pytest.approx(accuracy_score(label, answer), rel=1e-12)
    there = np.union1d(label, answer)
    iou = dict.fromkeys(source.class_names)
    for number, value in zip(there, jaccard_score(label, answer, average=None), strict=True):
        iou[source.class_names[number]] = pytest.approx(value, rel=1e-12)
    assert found["per_class_iou"] == iou
    mean = jaccard_score(label, answer, average="macro")
    assert found["miou"] == pytest.approx(mean, rel=1e-12)


@pytest.mark.parametrize("batch_size", [1, 3, 8, 10])
def test_results_are_those_of_scikit_learn_whatever_the_batch_size(batch_size: int) -> None:
    source = Pictures([SIZE] * 10)
    found = evaluated(source, batch_size, devices(1))
    assert found["examples"] == 10
    check(found, source, [predicted(image) for image in source.images])
    assert found["loss"] == pytest.approx(evaluated(source, 10, devices(1))["loss"], rel=1e-6)


def test_results_are_the_same_on_one_two_and_eight_devices() -> None:
    """Eight devices hold ten pictures and six of padding; copies and windows are split as well."""
    eight = {
        "JAX_NUM_CPU_DEVICES": "8",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests/support'}",
    }
    done = subprocess.run(
        [sys.executable, PROGRAM],
        env=os.environ | eight,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    source = Pictures([SIZE] * 10)
    for whole, _ in found.values():
        check(whole, source, [predicted(image) for image in source.images])
    for views in (0, 1):
        one, *others = (found[number][views] for number in ("1", "2", "8"))
        for other in others:
            assert other["confusion_matrix"] == one["confusion_matrix"]
            assert other["miou"] == one["miou"]
            assert other["per_class_iou"] == one["per_class_iou"]
            assert other["loss"] == pytest.approx(one["loss"], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("head", tasks.Segmentation.heads)
def test_pictures_of_a_pixel_and_of_no_multiple_of_a_stride_are_evaluated(head: str) -> None:
    config = get_config()
    config.task.name, config.model.head = "segmentation", head
    config.model.update(name="resnet8", head_width=32)
    config.model.attention.name = "identity"
    model = tasks.network(config, CLASSES)
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    weights = random_like({name: variables[name] for name in ("params", "batch_stats")})
    answer = jax.jit(lambda weights, x: model.apply(weights, x, train=False)[0])
    for size in ((1, 1), (33, 47)):
        source = Pictures([size] * 3)
        x = (np.stack(source.images).astype(np.float32) / 255 - 0.5) / 0.5
        logits = np.asarray(answer(weights, x))
        assert np.isfinite(logits).all()
        assert logits.shape == (3, *size, CLASSES)
        second, first = np.moveaxis(np.sort(logits, axis=-1)[..., -2:], -1, 0)
        undecided = first - second < 1e-3 * np.ptp(logits)  # which rounding decides
        assert undecided.mean() < 0.1
        for labels, without in zip(source.label_maps, undecided, strict=True):
            labels[without] = IGNORE
        check(evaluated(source, 2, devices(1), model, weights), source, [*logits.argmax(axis=-1)])


def test_a_network_for_one_size_is_told_to_leave_out_scales_and_windows() -> None:
    config = get_config()
    config.task.name, config.model.name, config.model.attention.name = (
        "segmentation",
        "resnet18",
        "bat",
    )
    model = tasks.network(config, CLASSES)
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    weights = {name: variables[name] for name in ("params", "batch_stats")}
    with pytest.raises(
        UsageError, match="pictures of one size alone: leave out --scales and --wind"
    ):
        evaluated(Pictures([(32, 32)]), 1, devices(1), model, weights, views=Views(scales=(2.0,)))


@pytest.fixture
def of_different_sizes(monkeypatch: pytest.MonkeyPatch) -> Pictures:
    source = Pictures([(9, 7), (12, 7), (6, 14)])
    monkeypatch.setattr(loaders, "open_source", lambda *_: source)
    return source


def test_pictures_of_different_sizes_need_one_that_they_are_brought_to(
    of_different_sizes: Pictures,
) -> None:
    config = get_config()
    config.dataset.name, config.task.name = "folder", "segmentation"
    with pytest.raises(UsageError, match=r"pictures\[1\] is 12x7, not 9x7: set config.*image_size"):
        list(data.evaluation(config, devices(1), batch_size=3, fields=["label_map"]).feeds())
    config.dataset.image_size = (12, 14)
    (feed,) = data.evaluation(config, devices(1), batch_size=3, fields=["label_map"]).feeds()
    # Whole and of its own shape; what is beside it has no class. The widths are 9.33, 8.17 and 14 pixels.
    beside = np.asarray(feed["label_map"]) == -1
    assert beside[0][:, 10:].all()
    assert not beside[0][:, :9].all(axis=0).any()
    assert beside[1][:, 7:].all()
    np.testing.assert_array_equal(beside[1][:, :7], of_different_sizes.label_maps[1] == IGNORE)
    assert beside[2][6:].all()
    np.testing.assert_array_equal(beside[2][:6], of_different_sizes.label_maps[2] == IGNORE)
