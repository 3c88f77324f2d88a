"""Inference in parts of a batch: the same answers, whatever is cut, and cut only where it pays."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from label_maps import Pictures, devices, evaluated

from chanattn import models, onednn, tasks
from chanattn.layers import kernels
from chanattn.onednn import primitive
from chanattn.tasks.segmentation import Segmentation
from chanattn.training import evaluator, parts
from chanattn.training.parts import InParts, in_parts, parts_of
from chanattn.training.views import Views, network_of
from configs import digits, shapes_captioning, shapes_detection, shapes_segmentation

PICTURES = (128, 32, 32, 3)
SIZE = (12, 10)


def test_every_example_is_computed_once_and_in_its_place() -> None:
    def function(weights: Any, x: Any, batch: dict[str, Any]) -> dict[str, Any]:
        return {"product": weights * x, "of": (batch["n"][:, None] + x,)}

    x, n = np.arange(24.0).reshape(12, 2), np.arange(12)
    for number in (1, 2, 3, 4):
        found = InParts(function, number)(jnp.float32(3), jnp.asarray(x), {"n": jnp.asarray(n)})
        np.testing.assert_array_equal(found["product"], 3 * x)
        np.testing.assert_array_equal(found["of"][0], n[:, None] + x)


def test_the_parts_are_traced_once_for_all_and_once_for_each_shape() -> None:
    traced = []

    def function(weights: Any, x: jax.Array) -> jax.Array:
        traced.append((x.shape, primitive.is_on_one_thread()))
        return weights * x

    double = InParts(function, 2)
    jax.eval_shape(double.traced, jnp.float32(2), jnp.ones((4, 3)))
    double.compile()
    for size in (4, 4, 8):
        np.testing.assert_array_equal(
            double(jnp.float32(2), jnp.ones((size, 3))), np.full((size, 3), 2.0)
        )
    assert traced == [((2, 3), True), ((4, 3), True)]
    assert not primitive.is_on_one_thread()


def test_an_error_of_a_part_reaches_the_caller() -> None:
    def fail(x: np.ndarray) -> np.ndarray:
        raise ValueError("of a part")

    def function(weights: Any, x: jax.Array) -> jax.Array:
        return jax.pure_callback(fail, x, x)

    with pytest.raises(Exception, match="of a part"):
        jax.block_until_ready(InParts(function, 2)(jnp.float32(0), jnp.ones((4, 3))))


@pytest.mark.skipif(not onednn.available(), reason="oneDNN cannot be loaded")
def test_a_network_gives_the_same_bits_in_parts() -> None:
    model = models.create("resnet8", num_classes=10, attention="se")
    images = np.random.default_rng(0).normal(size=(8, 32, 32, 3)).astype(np.float32)
    weights = jax.jit(model.init)(jax.random.key(0), images[:1])
    network = network_of(model, tasks.create(digits.get_config().task))
    with kernels.chosen("onednn"):
        whole = jax.jit(network)(weights, images, {})
        cut = InParts(network, 2)
        computed, traced = cut(weights, images, {}), jax.jit(cut.traced)(weights, images, {})
    np.testing.assert_array_equal(whole, computed)
    np.testing.assert_array_equal(whole, traced)


@pytest.mark.parametrize(
    "views", [Views(), Views(flip=True, scales=(1.0, 0.5)), Views(window=(8, 8))], ids=Views.name
)
@pytest.mark.parametrize("batch_size", [2, 6])
def test_an_evaluation_in_parts_finds_the_same(
    monkeypatch: pytest.MonkeyPatch, batch_size: int, views: Views
) -> None:
    source = Pictures([SIZE] * 9)  # the last batch is padded
    whole = evaluated(source, batch_size, devices(1), views=views)
    cut = []
    monkeypatch.setattr(parts, "parts_of", lambda shape: cut.append(shape) or 2)
    assert evaluated(source, batch_size, devices(1), views=views) == whole
    assert cut == [(batch_size, *SIZE, 3)]


def test_outputs_and_answers_that_call_the_network_again_are_one_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = Pictures([SIZE] * 4)
    whole = evaluated(source, 4, devices(1))

    def refuse(*_: Any) -> None:
        raise AssertionError("in parts")

    monkeypatch.setattr(Segmentation, "answered_by_network", True)
    monkeypatch.setattr(evaluator, "in_parts", refuse)
    assert evaluated(source, 4, devices(1)) == whole


@pytest.mark.parametrize("more", [jnp.float32(1), jnp.zeros(5)], ids=["number", "vector"])
def test_what_lacks_the_axis_of_the_batch_is_not_cut(
    monkeypatch: pytest.MonkeyPatch, more: jax.Array
) -> None:
    monkeypatch.setattr(parts, "parts_of", lambda shape: 2)
    x = jnp.ones((4, 2, 2, 3))
    assert in_parts(lambda weights, x: {"y": weights * x}, jnp.float32(2), x) is not None
    assert in_parts(lambda weights, x: {"y": x, "more": more}, jnp.float32(2), x) is None


@pytest.mark.parametrize(
    "config",
    [
        digits.get_config(),
        shapes_segmentation.get_config(),
        shapes_detection.get_config(),
        shapes_captioning.get_config(),
    ],
    ids=lambda config: config.task.name,
)
def test_all_that_networks_return_has_the_axis_of_the_batch(config: Any) -> None:
    task = tasks.create(config.task)
    model = tasks.network(config, 3)
    image, inputs = jnp.zeros((7, 64, 64, 3)), task.typical_inputs(7)
    weights = jax.eval_shape(lambda: model.init(jax.random.key(0), image, **inputs))
    outputs = jax.eval_shape(network_of(model, task), weights, image, inputs)
    assert {leaf.shape[0] for leaf in jax.tree.leaves(outputs)} == {7}


@pytest.mark.parametrize(
    ("shape", "cores", "which", "number"),
    [
        (PICTURES, 2, "onednn", 2),
        (PICTURES, 1, "onednn", 1),
        (PICTURES, 3, "onednn", 1),  # does not divide
        (PICTURES, 16, "onednn", 1),  # more than was ever measured
        (PICTURES, 2, "xla", 1),
        (PICTURES, 2, "plain", 1),
        ((64, 8, 8, 3), 2, "onednn", 1),  # too small
        ((8, 224, 224, 3), 2, "onednn", 2),
        ((4, 224, 224, 3), 2, "onednn", 1),  # each core would read all weights for two pictures
    ],
)
def test_a_batch_is_cut_where_that_pays(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], cores: int, which: str, number: int
) -> None:
    monkeypatch.setattr(parts, "cores", lambda: cores)
    monkeypatch.setattr(kernels, "current", lambda: which)
    assert parts_of(shape) == number
