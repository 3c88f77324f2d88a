"""The streams of random numbers of a run never meet, neither on the devices nor on the host."""

import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from chanattn import random_streams, tasks, threefry
from chanattn.data import batches, training_data
from chanattn.data.fit import Fit
from chanattn.data.source import ArraySource
from chanattn.data.sources.synthetic import Synthetic
from chanattn.training.nonfinite import seed_after
from chanattn.training.state import create_state, make_init
from chanattn.training.step import make_train_step
from configs import base

STEPS = EPOCHS = 12
SEEDS = (0, 1)


class Recording(nn.Module):
    """A network that reports the key of every random number that it asks for."""

    report: object

    @nn.compact
    def __call__(self, x, train=False):
        def init(key, shape):
            self._tell("initialisation", key)
            return jnp.ones(shape)

        scale = self.param("scale", init, (3,))
        if train:
            self._tell("model", self.make_rng("dropout"))
        return nn.Dense(2)((x * scale).mean((1, 2))), {}

    def _tell(self, name, key):
        jax.debug.callback(lambda data: self.report(name, data), jax.random.key_data(key))


def keys_of_runs(mesh):
    """{stream: keys} for each of the seeds, of steps in two parts, from the functions that train."""
    found = {}

    def report(name, key):
        found.setdefault(name, []).append(tuple(np.asarray(key).tolist()))

    def prepare(feed, step, key):
        parts = jax.random.key_data(jax.random.split(key, 6))  # as `training_batch` does
        jax.debug.callback(lambda parts: [report("augmentation", part) for part in parts], parts)
        jax.debug.callback(lambda key: report("augmentation", key), jax.random.key_data(key))
        return feed

    config = base.get_config()
    task, optimizer, model = tasks.create(config.task), optax.sgd(0.0), Recording(report)
    step = make_train_step(
        model, optimizer, lambda _: 0.0, task, prepare, mesh=mesh, seed=0, accumulate=2
    )
    feed = {"image": jnp.zeros((4, 4, 4, 3)), "label": jnp.zeros(4, int), "mask": jnp.ones(4)}
    for seed in SEEDS:
        found.clear()
        state = create_state(
            make_init(model, optimizer, task, (4, 4, 3), ema=False, mesh=mesh), seed
        )
        for _ in range(STEPS):
            state, _ = step.reseeded(seed)(state, feed)
        jax.effects_barrier()
        yield seed, dict(found)


def test_no_key_of_a_run_is_used_twice(mesh, monkeypatch):
    keys = []
    for seed, found in keys_of_runs(mesh):
        monkeypatch.setattr(threefry, "permutation", lambda key, _: key)
        found["order"] = [
            tuple(training_data.epoch_order(seed, epoch, 10).tolist()) for epoch in range(EPOCHS)
        ]
        monkeypatch.undo()
        # A key for every step, and seven or two that come of it; initialisation may report one twice.
        assert {name: len(set(values)) for name, values in found.items()} == {
            "initialisation": 1,
            "augmentation": 7 * STEPS,
            "model": 2 * STEPS,
            "order": EPOCHS,
        }
        keys += itertools.chain(*map(set, found.values()))
    assert len(set(keys)) == len(keys)


def test_no_numbers_on_the_host_are_drawn_twice(monkeypatch):
    """Orders and crops of two runs, their roll-backs, and the pictures of the synthetic set."""
    drawn = []
    make = np.random.default_rng

    def spy(entropy):
        fresh = entropy if isinstance(entropy, np.random.SeedSequence) else None
        fresh = fresh or np.random.SeedSequence(entropy)
        drawn.append(tuple(fresh.generate_state(4).tolist()))
        return make(fresh)

    monkeypatch.setattr(np.random, "default_rng", spy)
    batches.epoch_order.cache_clear()
    pictures = ArraySource(np.zeros((8, 6, 6, 3), np.uint8), np.zeros(8, int), ["a", "b"], "zeros")
    crop = Fit((4, 4, 3), resize=True, random=True)
    for seed in SEEDS:
        endless = batches.TrainingBatches(
            pictures, crop, batch_size=4, rows=np.arange(4), seed=seed, max_corrupt=0
        )
        for step in range(STEPS):
            endless[step]
        sequences = [
            random_streams.sequence(seed, "rollback", number) for number in range(1, EPOCHS)
        ]
        drawn += [tuple(sequence.generate_state(4).tolist()) for sequence in sequences]
    assert len(drawn) == len(SEEDS) * (STEPS * 4 + STEPS // 2 + EPOCHS - 1)
    Synthetic("train", 100, 2, (4, 4)).read(range(50))
    assert len(set(drawn)) == len(drawn)


def test_the_seed_after_a_roll_back_is_a_new_one():
    seeds = [seed_after(seed, rollbacks) for seed in range(20) for rollbacks in range(10)]
    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize("stream", random_streams.STREAMS)
def test_a_stream_has_other_numbers_at_every_place_and_for_every_seed(stream):
    states = [
        tuple(random_streams.sequence(seed, stream, *place).generate_state(4).tolist())
        for seed in (0, 1, 2**32 - 1)
        for place in ((), (0,), (0, 0), (1,), (1, 0), (0, 1))
    ]
    assert len(set(states)) == len(states)


def test_the_generator_of_the_surroundings_changes_no_number() -> None:
    def numbers() -> np.ndarray:
        return np.asarray(jax.random.uniform(random_streams.key(3, "order"), (4,)))

    with jax.default_prng_impl("rbg"):
        elsewhere = numbers()
    np.testing.assert_array_equal(elsewhere, numbers())
