"""A training stopped after any step goes on as if it had not been, whatever its seed and batch size."""

import functools
from itertools import islice

import jax
import numpy as np
import optax
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import AxisType

from chanattn import data
from chanattn.data.placement import replicated
from chanattn.tasks.classification import Classification
from chanattn.training.checkpoint import Checkpoints
from chanattn.training.schedule import make_schedule
from chanattn.training.state import abstract_state, create_state, make_init
from chanattn.training.step import make_train_step
from configs import base
from tests.training.conftest import TinyNet

STEPS, SHAPE = 7, (8, 8, 3)
TASK, MODEL = Classification(0.1), TinyNet(dropout=0.3)
MESH = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:1])


@functools.cache
def parts(batch_size, loader):
    """Config, optimizer, and the step as it is compiled once; the seed is an argument of its program."""
    config = base.get_config()
    config.update(steps=STEPS, batch_size=batch_size)
    config.dataset.update(name="synthetic", synthetic_examples=30, synthetic_classes=5)
    config.dataset.update(image_size=8, loader=loader)
    config.dataset.augment.update(pad_crop=1, flip=True, mixup=0.3)
    schedule = make_schedule(config, STEPS, 30 // batch_size)
    return config, schedule, optax.sgd(schedule, 0.9)


@functools.cache
def program(batch_size, loader, seed):
    config, schedule, optimizer = parts(batch_size, loader)
    config.seed = seed
    train = data.training(config, MESH)
    step = make_train_step(
        *(MODEL, optimizer, schedule, TASK, train.prepare),
        mesh=MESH,
        seed=seed,
        ema_decay=0.9,
        log_every=3,
    )
    return train, step


def go(state, start, stop, case):
    """Makes the steps from `start` to `stop`; the last state and the metrics of each."""
    train, step = program(*case)
    windows = []
    with train:
        for feed in islice(train.feeds(start), stop - start):
            state, window = step(state, feed)
            windows.append(jax.device_get(window))
    return state, windows


@functools.cache
def initial(case):
    batch_size, loader, seed = case
    optimizer = parts(batch_size, loader)[2]
    state = create_state(make_init(MODEL, optimizer, TASK, SHAPE, ema=True, mesh=MESH), seed)
    return jax.device_get(state)


@functools.cache
def straight(case):
    state, windows = go(jax.device_put(initial(case), replicated(MESH)), 0, STEPS, case)
    return jax.device_get(state), windows


CASES = st.sampled_from([(4, "device", 2**32 - 1), (10, "device", 0), (10, "stream", 1)])


@settings(max_examples=5)
@given(case=CASES, stop=st.integers(1, STEPS - 1))
def test_stopped_after_any_step_and_restored_it_ends_with_the_same_bits(
    tmp_path_factory, case, stop
):
    state, before = go(jax.device_put(initial(case), replicated(MESH)), 0, stop, case)
    folder = tmp_path_factory.mktemp("checkpoints")
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(state, {"step": stop})
    template = abstract_state(
        make_init(MODEL, parts(*case[:2])[2], TASK, SHAPE, ema=True, mesh=MESH)
    )
    with Checkpoints(folder, read_only=True) as checkpoints:
        restored = checkpoints.restore(stop, template)
    end, after = go(restored, stop, STEPS, case)
    expected, windows = straight(case)
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(end), expected)
    jax.tree.map(np.testing.assert_array_equal, before + after, windows)


def test_another_seed_is_another_initialisation_order_augmentation_and_loss():
    results, batches = {}, {}
    for seed in (0, 1):
        case = (10, "device", seed)
        results[seed] = straight(case)
        train, _ = program(*case)
        feed, key = next(iter(train.feeds(0))), jax.random.fold_in(jax.random.key(seed), 0)
        batches[seed] = jax.device_get(jax.jit(train.prepare)(feed, np.int32(0), key))
    assert not np.array_equal(batches[0]["label"], batches[1]["label"])
    assert batches[0]["mix_weight"][0] != batches[1]["mix_weight"][0]
    kernels = [initial((10, "device", seed)).params["stem"]["kernel"] for seed in (0, 1)]
    assert not np.array_equal(*kernels)
    assert results[0][1][-1].means()["loss"] != results[1][1][-1].means()["loss"]


def test_the_same_seed_is_the_same_run():
    case = (10, "device", 0)
    again = straight.__wrapped__(case)
    jax.tree.map(np.testing.assert_array_equal, again, straight(case))
