"""Pyramid squeeze attention: the authors' arrays, and what the equations promise."""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import parity
import pytest

from chanattn import attention
from chanattn.attention.epsa import branch_softmax
from chanattn.errors import UsageError
from chanattn.interop import from_torch

LEAST, MOST = 1 / (1 + 3 * np.e), np.e / (np.e + 3)


def feature_map(*shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(0), shape) + 0.5


def test_equals_the_reference(golden: Path) -> None:
    options = {"filters": 64, "stride": 2, "use_norm": False}
    parity.check_file(golden, "epsa_psa_c64_s2", "epsa", options)


def test_the_paper_keeps_the_branches_in_their_order(golden: Path) -> None:
    arrays = parity.load(golden / "modules" / "epsa_psa_c64_s2.npz")
    module = attention.create("epsa", filters=64, stride=2, use_norm=False, preset="paper")
    variables = from_torch("epsa", parity.state_dict(arrays))
    y = jax.jit(module.apply)(variables, jnp.asarray(arrays["x"]))
    slices = np.split(arrays["y"], 4, axis=-1)
    parity.assert_close(y, np.concatenate(slices[::-1], axis=-1), parity.OUTPUT, "output")


def test_weights_sum_to_one_over_the_branches_within_a_narrow_band() -> None:
    x = 10 * feature_map(2, 8, 8, 32)
    module = attention.create("epsa", filters=32)
    variables = jax.jit(module.init)(jax.random.key(1), x)
    _, sown = jax.jit(partial(module.apply, mutable=["attention"]))(variables, x)
    weights = sown["attention"]["weights"]
    assert weights.shape == (2, 4, 8)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-6)
    assert np.all((weights > LEAST) & (weights < MOST))
    extreme = branch_softmax(jnp.asarray([100.0, -100.0, -100.0, -100.0])[None, :, None])
    np.testing.assert_allclose(extreme[0, 0, 0], MOST, rtol=1e-6)
    assert round(LEAST, 3) == 0.109
    assert round(MOST, 3) == 0.475


def test_norm_and_activation_follow_the_bare_module() -> None:
    x = feature_map(4, 6, 5, 32)
    bare = attention.create("epsa", filters=32, use_norm=False)
    whole = attention.create("epsa", filters=32)
    variables = jax.jit(whole.init)(jax.random.key(1), x)
    params = {name: tree for name, tree in variables["params"].items() if name != "bn"}
    train = jax.jit(partial(whole.apply, train=True, mutable=["batch_stats"]))
    (y, _), z = train(variables, x), jax.jit(bare.apply)({"params": params}, x)
    normed = (z - z.mean(axis=(0, 1, 2))) / jnp.sqrt(z.var(axis=(0, 1, 2)) + 1e-5)
    np.testing.assert_allclose(y, jnp.maximum(normed, 0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("inputs", "filters", "groups"),
    [
        (64, 64, (1, 4, 8, 16)),
        (512, 512, (1, 4, 8, 16)),
        (16, 32, (1, 4, 8, 8)),
        (16, 16, (1, 4, 4, 4)),
        (24, 24, (1, 2, 2, 2)),
        (3, 8, (1, 1, 1, 1)),
    ],
)
def test_groups_shrink_to_what_divides_the_channels(
    inputs: int, filters: int, groups: tuple[int, ...]
) -> None:
    module = attention.create("epsa", filters=filters)
    shapes = jax.eval_shape(module.init, jax.random.key(0), feature_map(1, 4, 4, inputs))
    for number, (kernel_size, count) in enumerate(zip((3, 5, 7, 9), groups, strict=True), 1):
        expected = (kernel_size, kernel_size, inputs // count, filters // 4)
        assert shapes["params"][f"conv{number}"]["kernel"].shape == expected


def test_other_branches_are_an_option() -> None:
    module = attention.create(
        "epsa", filters=12, stride=2, kernel_sizes=(1, 3, 5), branch_groups=(2, 2, 1), act="silu"
    )
    y, variables = jax.eval_shape(
        module.init_with_output, jax.random.key(0), feature_map(1, 7, 4, 6)
    )
    assert y.shape == (1, 4, 2, 12)
    assert {"conv1", "conv2", "conv3"} < set(variables["params"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_sizes": (3,)}, r"kernel_sizes must be two or more odd numbers, not \(3,\)"),
        ({"kernel_sizes": (3, 4, 5, 7)}, "kernel_sizes must be two or more odd numbers"),
        ({"branch_groups": (1, 2)}, "branch_groups must be 4 positive numbers, one for each"),
        ({"branch_groups": (1, 2, 0, 4)}, "branch_groups must be 4 positive numbers"),
        ({"groups": 32}, "the block's must be 1, not 32"),
        ({"reduction": 0}, "epsa: reduction must be positive, not 0"),
        ({"preset": "timm"}, "epsa: unknown preset 'timm'; valid: official, paper"),
        ({"act": "mish"}, "unknown activation 'mish'"),
    ],
)
def test_bad_options_get_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        attention.create("epsa", filters=64, **options)
    assert "\n" not in str(error.value)


def test_filters_that_do_not_divide_among_the_branches_are_refused() -> None:
    module = attention.create("epsa", filters=30)
    with pytest.raises(UsageError, match="30 filters do not divide among 4 branches"):
        jax.eval_shape(module.init, jax.random.key(0), feature_map(1, 4, 4, 32))
