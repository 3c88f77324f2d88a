"""SCA-CNN: arrays derived from the authors' expressions, and what softmaxes and a condition promise."""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import outputs
import parity
import pytest

from chanattn import attention
from chanattn.errors import UsageError
from chanattn.interop import from_torch

FILES: dict[str, dict[str, Any]] = {
    "sca_cs": {},
    "sca_cs_noscale": {"rescale": False},
    "sca_sc": {"order": "sc"},
}
CONDITION = 12


def feature_map(*shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(0), shape) + 0.5


def state(pictures: int) -> jax.Array:
    return jax.random.normal(jax.random.key(1), (pictures, CONDITION))


def random_variables(module: Any, *arguments: Any) -> Any:
    """Larger than the initial ones, so that the weights are far from constant."""
    shapes = jax.eval_shape(module.init, jax.random.key(2), *arguments)
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype), shapes)


def weights_of(module: Any, variables: Any, *arguments: Any) -> Any:
    apply = jax.jit(partial(module.apply, mutable=["attention"]))
    return apply(variables, *arguments)[1]["attention"]


@pytest.mark.parametrize("file", FILES)
def test_equals_the_reference(file: str, golden: Path) -> None:
    arrays = parity.load(golden / "modules" / f"{file}.npz")
    module = attention.create("sca", width=16, **FILES[file])

    def convert(state: Any) -> dict[str, Any]:
        return from_torch("sca", state)

    def run(params: Any, given: Any) -> Any:
        y, sown = module.apply({"params": params}, given["x"], given["h"], mutable=["attention"])
        spatial = sown["attention"]["spatial"].reshape(len(y), -1)
        return {"y": y, "y_channel": sown["attention"]["channel"], "y_spatial": spatial}, None

    params = convert(parity.state_dict(arrays))["params"]
    for case in parity.cases(arrays):
        outputs.check_case(
            run,
            params,
            case,
            convert,
            inputs=("x", "h"),
            outputs=("y", "y_channel", "y_spatial"),
        )


@pytest.mark.parametrize("order", ["cs", "sc"])
@pytest.mark.parametrize("rescale", [True, False])
def test_weights_sum_to_the_number_of_channels_and_of_positions(order: str, rescale: bool) -> None:
    x, h = feature_map(2, 7, 5, 24), state(2)
    module = attention.create("sca", width=16, order=order, rescale=rescale)
    weights = weights_of(module, random_variables(module, x, h), x, h)
    assert weights["spatial"].shape == (2, 7, 5, 1)
    channels, positions = (24, 35) if rescale else (1, 1)
    np.testing.assert_allclose(weights["channel"].sum(axis=1), channels, rtol=1e-5)
    np.testing.assert_allclose(weights["spatial"].sum(axis=(1, 2, 3)), positions, rtol=1e-5)


def test_no_condition_is_a_condition_of_zero() -> None:
    x = feature_map(2, 7, 5, 24)
    module = attention.create("sca", width=16)
    variables = random_variables(module, x, state(2))
    apply = jax.jit(module.apply)
    none, zero = apply(variables, x), apply(variables, x, jnp.zeros((2, CONDITION)))
    np.testing.assert_allclose(none, zero, rtol=1e-5, atol=1e-6)
    assert not np.allclose(none, apply(variables, x, state(2)), rtol=1e-2)


def test_parameters_of_the_condition_exist_only_if_it_is_given() -> None:
    x = feature_map(2, 7, 5, 24)
    module = attention.create("sca", width=16)
    without = jax.eval_shape(module.init, jax.random.key(0), x)["params"]
    given = jax.eval_shape(module.init, jax.random.key(0), x, state(2))["params"]
    for score in ("channel_score", "spatial_score"):
        assert set(without[score]) == {"features", "score"}
        assert set(given[score]) == {"features", "score", "condition"}


def test_without_the_spatial_part_only_the_channels_are_weighed() -> None:
    x, h = feature_map(2, 7, 5, 24), state(2)
    both = attention.create("sca", width=16)
    alone = attention.create("sca", width=16, spatial=False)
    variables = random_variables(both, x, h)
    own = {"params": {"channel_score": variables["params"]["channel_score"]}}
    y, weights = jax.jit(alone.apply)(own, x, h), weights_of(both, variables, x, h)["channel"]
    np.testing.assert_allclose(y, x * weights[:, None, None], rtol=1e-4)
    assert set(jax.eval_shape(alone.init, jax.random.key(0), x)["params"]) == {"channel_score"}


def test_it_starts_close_to_the_identity() -> None:
    x = feature_map(2, 7, 7, 64)
    module = attention.create("sca")
    y, _ = jax.jit(module.init_with_output)(jax.random.key(0), x, state(2))
    np.testing.assert_allclose(y, x, rtol=0.1)


def test_channels_can_have_another_gate() -> None:
    x, h = feature_map(2, 7, 5, 24), state(2)
    module = attention.create("sca", width=16, gate="sigmoid", spatial=False)
    weights = weights_of(module, random_variables(module, x, h), x, h)["channel"]
    assert np.all((weights > 0) & (weights < 1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "sca: width must be positive, not 0"),
        ({"order": "both"}, "sca: unknown order 'both'; valid: cs, sc"),
        ({"order": "sc", "spatial": False}, "order 'sc' starts with the spatial attention"),
        ({"gate": "softish"}, "unknown gate 'softish'"),
    ],
)
def test_bad_options_get_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        attention.create("sca", **options)
    assert "\n" not in str(error.value)


def test_a_condition_that_initialisation_did_not_see_is_refused() -> None:
    x = feature_map(2, 4, 4, 8)
    module = attention.create("sca", width=16)
    variables = random_variables(module, x)
    with pytest.raises(UsageError, match="takes no condition.*initialised without one"):
        jax.eval_shape(module.apply, variables, x, state(2))


@pytest.mark.parametrize("shape", [(CONDITION,), (3, CONDITION), (2, 1, CONDITION)])
def test_a_condition_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    module = attention.create("sca", width=16)
    with pytest.raises(UsageError, match=r"condition must have shape \(2, width of the state\)"):
        jax.eval_shape(module.init, jax.random.key(0), feature_map(2, 4, 4, 8), jnp.ones(shape))
