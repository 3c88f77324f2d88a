"""Loss and metrics of classification, against numpy."""

import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from chanattn import tasks
from chanattn.errors import UsageError
from chanattn.tasks.classification import Classification, top_k

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(6, 7)).astype(np.float32)
LABEL = np.array([0, 3, 6, 2, 2, 5], np.int32)


def batch(**more):
    arrays = {"label": LABEL, "mask": np.ones(6, np.float32)} | more
    return {name: jnp.asarray(array) for name, array in arrays.items()}


def log_softmax(z):
    z = z.astype(np.float64)
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_is_the_cross_entropy_with_the_smoothed_target(smoothing):
    target = (1 - smoothing) * np.eye(7)[LABEL] + smoothing / 7
    expected = -(target * log_softmax(LOGITS)).sum()
    total = Classification(smoothing).loss(LOGITS, batch())["loss"]
    np.testing.assert_allclose(total, expected, rtol=1e-6)


def test_loss_under_mixup_is_the_weighted_loss_of_both_labels():
    other, weight = np.roll(LABEL, 1), RNG.uniform(size=6).astype(np.float32)
    target = weight[:, None] * np.eye(7)[LABEL] + (1 - weight[:, None]) * np.eye(7)[other]
    expected = -(target * log_softmax(LOGITS)).sum()
    mixed = batch(mix_label=other, mix_weight=weight)
    np.testing.assert_allclose(Classification().loss(LOGITS, mixed)["loss"], expected, rtol=1e-6)
    hit = weight * (LOGITS.argmax(1) == LABEL) + (1 - weight) * (LOGITS.argmax(1) == other)
    np.testing.assert_allclose(
        Classification().monitor(LOGITS, mixed)["top1"][0], hit.sum(), rtol=1e-6
    )


def test_masked_examples_count_for_nothing_even_if_they_are_not_finite():
    mask = np.array([1, 1, 0, 1, 0, 1], np.float32)
    padded = np.where(mask[:, None] > 0, LOGITS, np.inf)
    real = mask > 0
    all_metrics = Classification().measure(padded, batch(mask=mask))
    order = np.argsort(-LOGITS, axis=1)
    expected = {
        "loss": -log_softmax(LOGITS)[np.arange(6), LABEL][real].sum(),
        "top1": (order[:, 0] == LABEL)[real].sum(),
        "top5": (order[:, :5] == LABEL[:, None]).any(1)[real].sum(),
    }
    assert set(all_metrics) == set(expected) == {metric.name for metric in Classification.metrics}
    for name, (total, count) in all_metrics.items():
        assert count == 4
        np.testing.assert_allclose(total, expected[name], rtol=1e-6)


def test_a_constant_output_is_no_better_than_chance():
    labels = jnp.arange(10)
    assert top_k(jnp.zeros((10, 10)), {"label": labels}, 1).sum() == 1
    assert top_k(jnp.zeros((10, 10)), {"label": labels}, 5).sum() == 5


def test_loss_of_bfloat16_logits_is_computed_in_float32():
    logits = jnp.asarray(LOGITS, jnp.bfloat16)
    total = Classification(0.1).loss(logits, batch())["loss"]
    exact = Classification(0.1).loss(logits.astype(jnp.float32), batch())["loss"]
    assert total.dtype == jnp.float32
    assert total == exact


def test_unknown_task_is_named_with_the_valid_ones():
    with pytest.raises(UsageError, match=r"classificaton.*classification.*mean"):
        tasks.create(ConfigDict({"name": "classificaton", "label_smoothing": 0.0}))
