"""Every example of a split counts once, however the batches are cut, and the metrics are those of numpy."""

import functools
import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chanattn.data.batches import EvaluationBatches
from chanattn.data.fit import Fit
from chanattn.data.source import ArraySource
from chanattn.data.sources.digits import open_split
from chanattn.tasks.classification import Classification
from chanattn.training.evaluator import Evaluator
from configs import base
from tests.conftest import ROOT

CLASSES = 7
FIT = Fit((2, 2, 1), resize=False)
WEIGHTS = np.random.default_rng(0).normal(size=(4, CLASSES)).astype(np.float32)


def examples(number: int) -> ArraySource:
    """Pictures that are told apart by their first two pixels, the number in base 256."""
    rng = np.random.default_rng(number)
    images = rng.integers(0, 256, (number, 2, 2, 1), np.uint8)
    images[:, 0, :, 0] = np.stack(np.divmod(np.arange(number), 256), axis=1)
    labels = rng.integers(0, CLASSES, number)
    return ArraySource(images, labels, [str(i) for i in range(CLASSES)], "numbers")


def by_numpy(source: ArraySource, kernel: np.ndarray) -> dict[str, float]:
    """Loss and accuracies of a linear classifier, in float64."""
    logits = (source.images.reshape(len(source), -1) / 255).astype(np.float64) @ kernel
    own = logits[np.arange(len(logits)), source.labels]
    rank = (logits > own[:, None]).sum(1)
    loss = np.log(np.exp(logits).sum(1)) - own
    return {"loss": loss.mean(), "top1": (rank < 1).mean(), "top5": (rank < 5).mean()}


@settings(max_examples=200)
@given(
    number=st.integers(1, 300),
    wanted=st.integers(1, 320),
    devices=st.integers(1, 5),
    processes=st.integers(1, 4),
)
def test_every_example_is_in_one_batch_of_one_process(number, wanted, devices, processes):
    source = examples(number)
    size = -(-wanted // (devices * processes)) * devices * processes
    seen, masks, lengths = [], 0.0, set()
    for rows in np.split(np.arange(size), processes):
        batches = EvaluationBatches(source, FIT, batch_size=size, rows=rows)
        lengths.add(len(batches))
        for i in range(len(batches)):
            batch = batches[i]
            real = batch["mask"] == 1
            assert batch["image"].shape == (size // processes, 2, 2, 1)
            assert (batch["mask"][~real] == 0).all()
            found = batch["image"][real, 0, :, 0].astype(int) @ [256, 1]
            np.testing.assert_array_equal(batch["label"][real], source.labels[found])
            seen += found.tolist()
            masks += batch["mask"].sum()
    assert sorted(seen) == list(range(number))
    assert masks == number
    assert len(lengths) == 1  # else processes would wait for each other at the end


class Linear:
    """A network of one product, as the evaluation step calls it."""

    def apply(self, weights, images, train):
        assert not train
        return images.reshape(len(images), -1) @ weights["kernel"], {}


class Examples:
    """The first of the pictures, as an evaluation reads them."""

    class_names = tuple(map(str, range(CLASSES)))
    num_corrupt = 0

    def __init__(self, size):
        self.size = size

    def read(self, source):
        rows = np.arange(self.size)
        self.batches = EvaluationBatches(source, FIT, batch_size=self.size, rows=rows)
        self.num_examples = len(source)

    def feeds(self):
        for i in range(len(self.batches)):
            yield {name: self.batches[i][name] for name in ("image", "label", "mask")}

    def prepare(self, feed):
        return feed | {"image": feed["image"].astype(jnp.float32) / 255}


@functools.cache
def evaluation(size):
    mesh = jax.make_mesh((1,), ("data",), devices=jax.devices()[:1])
    data = Examples(size)
    return data, Evaluator(Linear(), Classification(), data, mesh)


@settings(max_examples=12)
@given(number=st.integers(1, 100), size=st.sampled_from([1, 7, 32, 120]))
def test_metrics_are_those_of_numpy_whatever_the_batch_size(number, size):
    source = examples(number)
    data, evaluate = evaluation(size)
    data.read(source)
    found = evaluate({"kernel": WEIGHTS})
    assert found.pop("examples") == number
    assert found == pytest.approx(by_numpy(source, WEIGHTS), rel=1e-5, abs=1e-7)


DEVICES = """
import json, sys
import jax
import numpy as np
jax.config.update("jax_num_cpu_devices", 8)
from chanattn import data
from chanattn.tasks.classification import Classification
from chanattn.training.evaluator import Evaluator
from configs import base

class Linear:
    def apply(self, weights, images, train):
        return images.reshape(len(images), -1) @ weights["kernel"], {}

config = base.get_config()
config.dataset.update(name="digits", mean=(0.0,) * 3, std=(1.0,) * 3)
kernel = np.random.default_rng(0).normal(size=(192, 10)).astype(np.float32)
task, found = Classification(), {}
for devices, size in ((1, 355), (3, 100), (5, 64), (8, 1)):
    mesh = jax.make_mesh((devices,), ("data",), devices=jax.devices()[:devices])
    test = data.evaluation(config, mesh, batch_size=size)
    found[f"{devices} {size}"] = Evaluator(Linear(), task, test, mesh)({"kernel": kernel})
print(json.dumps(found))
"""


def test_any_number_of_devices_gives_the_metrics_of_numpy():
    done = subprocess.run(
        [sys.executable, "-c", DEVICES],
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert all(metrics.pop("examples") == 355 for metrics in found.values())
    assert len(found) == 4
    source = open_split(base.get_config().dataset, "test", ("label",))
    kernel = np.random.default_rng(0).normal(size=(192, 10)).astype(np.float32)
    expected = by_numpy(source, kernel.reshape(64, 3, 10).sum(1))
    for metrics in found.values():
        assert metrics == pytest.approx(expected, rel=1e-5)
