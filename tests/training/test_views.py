"""Evaluations that look more than once: mirrored, at several scales, in windows."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from chanattn import tasks
from chanattn.config import get_config
from chanattn.errors import UsageError
from chanattn.layers.resize import bilinear
from chanattn.tasks.classification import Classification
from chanattn.tasks.segmentation import Segmentation
from chanattn.training.views import Views, network_of, outputs_on, starts, together

CLASSES = 4


class Pixels(nn.Module):
    """A 1x1 convolution, which sees no neighbours, or a 3x3 one that knows left from right."""

    size: int = 1

    @nn.compact
    def __call__(self, image: jax.Array, train: bool) -> tuple[jax.Array, dict[str, Any]]:
        return nn.Conv(CLASSES, (self.size, self.size))(image), {}


def pictures(height: int = 20, width: int = 30) -> dict[str, jax.Array]:
    rng = np.random.default_rng(0)
    image = jnp.asarray(rng.normal(0, 2, (2, height, width, 3)), jnp.float32)
    return {"image": image, "mask": jnp.ones(2)}


def of(model: nn.Module, batch: dict[str, jax.Array], views: Views) -> tuple[Any, Any]:
    weights = {"batch_stats": {}, **model.init(jax.random.key(1), batch["image"], train=False)}
    task = Segmentation()
    network = network_of(model, task)
    if views.window is None:
        outputs = jax.jit(lambda w, b: outputs_on(network, w, b, views))(weights, batch)
    else:
        outputs = outputs_on(network, weights, batch, views)
    return weights, together(task, outputs, batch, views)


def test_probabilities_of_all_views_are_averaged_at_the_size_of_the_picture() -> None:
    batch, model = pictures(), Pixels(3)
    scales = (0.5, 1.0, 1.3)
    weights, found = of(model, batch, Views(flip=True, scales=scales))
    total = np.zeros((2, 20, 30, CLASSES))
    for scale in scales:
        size = round(20 * scale), round(30 * scale)
        scaled = bilinear(batch["image"], size)
        for mirrored in (False, True):
            logits = model.apply(weights, scaled[:, :, ::-1] if mirrored else scaled, train=False)[
                0
            ]
            logits = np.asarray(bilinear(logits, (20, 30)), np.float64)
            odds = np.exp(logits[:, :, ::-1] if mirrored else logits)
            total += odds / odds.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(np.exp(found), total / 6, rtol=0, atol=1e-5)


def test_a_mirrored_picture_has_the_mirrored_answer() -> None:
    batch, model = pictures(), Pixels(3)
    _, found = of(model, batch, Views(flip=True))
    _, mirrored = of(model, batch | {"image": batch["image"][:, :, ::-1]}, Views(flip=True))
    np.testing.assert_allclose(found, mirrored[:, :, ::-1], atol=1e-5)


@pytest.mark.parametrize("window", [(20, 30), (8, 7), (7, 64), (1, 1), (64, 64)])
def test_windows_give_what_the_whole_picture_gives_where_no_pixel_sees_another(
    window: tuple[int, int],
) -> None:
    batch, model = pictures(6, 9) if window == (1, 1) else pictures(), Pixels(1)
    _, whole = of(model, batch, Views())
    _, found = of(model, batch, Views(window=window))
    np.testing.assert_allclose(found, whole, atol=1e-5)


@pytest.mark.parametrize("window", [1, 2, 3, 7, 64, 99, 100])
def test_windows_cover_a_side_evenly_and_overlap_by_a_third(window: int) -> None:
    found = starts(100, window)
    assert found[0] == 0
    assert found[-1] == 100 - window
    steps = np.diff(found)
    assert all(steps > 0)
    assert all(steps <= max(1, window * 2 // 3))
    assert np.ptp(steps) <= 1 if len(steps) else window == 100
    assert starts(100, 101) == [0]


def test_classification_averages_probabilities() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (3, 5, CLASSES))
    p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    found = Classification().mean_of_views([jnp.asarray(x) for x in logits], [False] * 3, (8, 8))
    np.testing.assert_allclose(np.exp(found), p.mean(axis=0), atol=1e-6)


@pytest.mark.parametrize(
    ("views", "task", "message"),
    [
        ({"scales": ()}, "segmentation", "--scales"),
        ({"scales": (0.0,)}, "segmentation", "--scales must be numbers above 0"),
        ({"scales": (float("nan"),)}, "segmentation", "--scales"),
        ({"window": (0, 8)}, "segmentation", "--window"),
        ({"window": (8, 8)}, "classification", "--window is for answers on every pixel"),
    ],
)
def test_what_cannot_be_is_refused(views: dict[str, Any], task: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Views(**views).check(tasks.create(_task(task)))


def _task(name: str) -> ConfigDict:
    section = get_config().task
    section.name = name
    return section


def test_views_have_names_of_their_own() -> None:
    assert Views().name() == ""
    assert Views().changes() == {}
    views = Views(flip=True, scales=(0.75, 1.0), window=(8, 16))
    assert views.name() == "-flip-scales0.75_1-window8x16"
    assert views.changes() == {"flip": True, "scales": [0.75, 1.0], "window": [8, 16]}


def test_one_program_serves_all_windows() -> None:
    traced = []

    class Counting(Pixels):
        @nn.compact
        def __call__(self, image: jax.Array, train: bool) -> tuple[jax.Array, dict[str, Any]]:
            traced.append(image.shape)
            return nn.Conv(CLASSES, (1, 1))(image), {}

    batch, model = pictures(), Counting()
    weights = {"batch_stats": {}, **model.init(jax.random.key(1), batch["image"], train=False)}
    traced.clear()
    (found,) = outputs_on(network_of(model, Segmentation()), weights, batch, Views(window=(8, 12)))
    assert traced == [(2, 8, 12, 3)]
    assert found.shape == (2, 20, 30, CLASSES)
