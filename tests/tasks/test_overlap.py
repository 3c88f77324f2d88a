"""Losses of overlap against a re-derivation in numpy, by sets; void pixels, parts of batches."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chanattn.models.heads import WithAuxiliary
from chanattn.tasks import auxiliary
from chanattn.tasks.overlap import dice, lovasz_softmax
from chanattn.tasks.segmentation import Segmentation

CLASSES = 4
LOSSES = {"dice": dice, "lovasz": lovasz_softmax}


def example(rows: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Logits and label maps; the last picture has two classes of four, each has pixels without one."""
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=2, size=(rows, 5, 6, CLASSES)).astype(np.float32)
    label_map = rng.integers(-1, CLASSES, (rows, 5, 6))
    label_map[-1] = rng.integers(-1, 2, (5, 6))
    return logits, label_map


def by_numpy(name: str, logits: np.ndarray, label_map: np.ndarray) -> list[float]:
    """Picture by picture and class by class, over the pixels with a class alone; float64."""
    found = []
    for scores, labels in zip(logits.astype(np.float64), label_map, strict=True):
        valid = labels >= 0
        p = np.exp(scores[valid])
        p /= p.sum(axis=1, keepdims=True)
        of_classes = [
            {"dice": dice_of, "lovasz": lovasz_of}[name](p[:, c], labels[valid] == c)
            for c in np.unique(labels[valid])
        ]
        found.append(float(np.mean(of_classes)) if of_classes else 0.0)
    return found


def dice_of(p: np.ndarray, t: np.ndarray) -> float:
    return 1 - 2 * (p * t).sum() / (p.sum() + t.sum())


def lovasz_of(p: np.ndarray, t: np.ndarray) -> float:
    """The definition: the errors in descending order, by what each adds to the loss."""
    error = np.abs(t - p)
    total, wrong, before = 0.0, np.zeros(len(t), bool), 0.0
    for i in np.argsort(-error, kind="stable"):
        wrong[i] = True
        # One minus the IoU of the class, if these pixels are wrong: arXiv:1705.08790, equation 6.
        now = wrong.sum() / (t | wrong).sum()
        total += error[i] * (now - before)
        before = now
    return total


@cache
def learnt(name: str) -> Any:
    """(logits, label map) -> the loss of all pictures, and its gradient."""
    loss = LOSSES[name]
    return jax.jit(jax.value_and_grad(lambda x, label_map: loss(x, label_map).sum()))


@pytest.mark.parametrize("name", LOSSES)
def test_losses_of_overlap_are_those_of_their_definitions(name: str) -> None:
    logits, label_map = example()
    found = jax.jit(LOSSES[name])(logits, label_map)
    np.testing.assert_allclose(found, by_numpy(name, logits, label_map), rtol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_of_a_loss_of_overlap_is_its_slope(name: str) -> None:
    logits, label_map = example(1)
    gradient = np.asarray(learnt(name)(logits, label_map)[1])
    direction = np.random.default_rng(1).normal(size=logits.shape)
    step = 1e-6
    up, down = (
        by_numpy(name, logits.astype(np.float64) + sign * step * direction, label_map)[0]
        for sign in (1, -1)
    )
    np.testing.assert_allclose((gradient * direction).sum(), (up - down) / (2 * step), rtol=1e-4)
    assert not gradient[label_map < 0].any()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("certain", [1.0, 1e4])
def test_perfect_predictions_have_finite_gradients(name: str, certain: float) -> None:
    _, label_map = example()
    perfect = np.float32(certain * (label_map[..., None] == np.arange(CLASSES)))
    loss, gradient = learnt(name)(perfect, label_map)
    assert np.isfinite(gradient).all()
    if certain > 1:
        assert loss < 1e-6


def terms_of(task: Segmentation, logits: Any, label_map: Any, mask: Any) -> dict[str, Any]:
    batch = {"label_map": np.asarray(label_map), "mask": np.float32(mask)}
    terms, weights = jax.jit(lambda x, batch: (task.loss(x, batch), task.weights(batch)))(
        logits, batch
    )
    return {name: (float(term), float(weights[name])) for name, term in terms.items()}


def test_the_terms_are_means_over_the_pictures_with_a_class_whatever_the_parts() -> None:
    task = Segmentation(dice_weight=0.5, lovasz_weight=2.0)
    logits, label_map = example(5)
    label_map[1] = -1
    logits[4] = np.nan  # padding
    mask = [1, 1, 1, 1, 0]
    whole = terms_of(task, logits, label_map, mask)
    for name, weight in (("dice", 0.5), ("lovasz", 2.0)):
        expected = by_numpy(name, logits[:4], label_map[:4])
        assert expected[1] == 0
        assert whole[name] == pytest.approx((weight * sum(expected), 3.0), rel=1e-5)
        parts = [terms_of(task, logits[i::2], label_map[i::2], mask[i::2]) for i in range(2)]
        assert sum(part[name][0] for part in parts) == pytest.approx(whole[name][0], rel=1e-6)
    nothing = terms_of(task, logits[:1], np.full((1, 5, 6), -1), [1])
    assert nothing["dice"] == nothing["lovasz"] == (0.0, 1.0)


def test_losses_of_overlap_are_there_by_the_config_alone_and_of_the_first_output() -> None:
    logits, label_map = example(2)
    plain, task = Segmentation(), Segmentation(lovasz_weight=1.0)
    assert auxiliary.terms(None, plain) == ()
    assert auxiliary.terms(None, task) == ("lovasz",)
    assert terms_of(plain, logits, label_map, [1, 1]).keys() == {"loss"}
    batch = {"label_map": jnp.asarray(label_map), "mask": jnp.ones(2)}
    outputs = WithAuxiliary(jnp.asarray(logits), {"other": jnp.zeros_like(logits)}, 1.0)
    assert task.loss(outputs, batch)["lovasz"] == task.loss(outputs.logits, batch)["lovasz"]
