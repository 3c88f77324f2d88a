"""Arithmetic of masks: sums run over the real examples alone, however these are cut, ordered and padded."""

import jax
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from chanattn.tasks.classification import Classification, masked
from chanattn.training.state import add_totals, means, zero_totals

ROWS, CLASSES = 12, 6
TASK = Classification(0.1)
METRICS = jax.jit(TASK.measure)
LOSS = jax.jit(TASK.loss)
MASKS = st.lists(st.booleans(), min_size=ROWS, max_size=ROWS)


def batch(seed, mask):
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=4, size=(ROWS, CLASSES)).astype(np.float32)
    label = rng.integers(0, CLASSES, ROWS).astype(np.int32)
    return logits, {"label": label, "mask": np.array(mask, np.float32)}


def totals(logits, given):
    objective = LOSS(logits, given)["loss"], given["mask"].sum()
    return jax.device_get(METRICS(logits, given) | {"objective": objective})


@given(MASKS, st.integers(0, 10**6), st.sampled_from([0.0, np.inf, -np.inf, np.nan, 1e30]))
def test_what_padding_holds_is_never_seen(mask, seed, filling):
    logits, given = batch(seed, mask)
    padded = np.where(given["mask"][:, None] > 0, logits, np.float32(filling))
    labels = np.where(given["mask"] > 0, given["label"], 0).astype(np.int32)
    found, expected = totals(padded, given | {"label": labels}), totals(logits, given)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    assert all(count == sum(mask) for _, count in found.values())


@given(MASKS, st.integers(0, 10**6), st.randoms(use_true_random=False))
def test_the_order_of_examples_and_their_cut_into_batches_change_no_metric(mask, seed, rng):
    logits, given = batch(seed, mask)
    order = rng.sample(range(ROWS), ROWS)
    shuffled = totals(logits[order], {name: rows[order] for name, rows in given.items()})
    whole = totals(logits, given)
    first = np.arange(ROWS) < rng.randint(0, ROWS)
    halves = [totals(logits, given | {"mask": given["mask"] * half}) for half in (first, ~first)]
    added = add_totals(zero_totals(tuple(whole)), halves[0])
    added = add_totals(added, halves[1])
    for name, (value, count) in whole.items():
        for other in (shuffled, added):
            np.testing.assert_allclose(other[name][0], value, rtol=1e-5, atol=1e-5)
            assert other[name][1] == count
    if sum(mask):
        assert 0 <= means(whole)["top1"] <= means(whole)["top5"] <= 1


@settings(max_examples=100)
@given(st.lists(st.tuples(st.floats(-1e3, 1e3, width=32), st.booleans()), min_size=1))
def test_a_masked_sum_is_the_sum_of_what_is_not_masked(pairs):
    values, mask = (np.array(column, np.float32) for column in zip(*pairs, strict=True))
    total, count = masked(values, mask)
    assert count == (mask > 0).sum()
    np.testing.assert_allclose(total, values[mask > 0].sum(dtype=np.float64), rtol=1e-4, atol=1e-2)
