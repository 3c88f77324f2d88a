"""Derivatives of every mechanism: of both modes, of second order, in training, and on maps without spread."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from members import CHANNELS, build, feature_map, random_like
from sampling import only

from chanattn import attention
from chanattn.few_calls import is_known
from chanattn.layers import kernels

NAMES = attention.names()
SHAPE = (4, 4, 4, CHANNELS)

# The value is that of a choice, the gradient that of its surrogate: no function has both, so there is
# nothing whose second derivatives were symmetric.
STRAIGHT_THROUGH = ("top_k", "argmax", "gumbel_sigmoid", "gumbel_softmax")

# One of each kind, for what takes a program more.
KINDS = ["se", "eca", "cbam", "bam", "simam", "gct", "dia", "sk", "splat", "gc", "srm", "encnet"]
KINDS += ["top_k", "gumbel_sigmoid", "static"]

# Options with a maximum, a root or a quotient of their own.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "gct of maxima": ("gct", {"embedding": "linf"}),
    "gct of magnitudes": ("gct", {"norm": "l1"}),
    "gct with the mean taken away": ("gct", {"norm": "mean_var"}),
    "cbam of four statistics": ("cbam", {"squeeze": "mean+max+l2+lse"}),
    "srm of others": ("srm", {"squeeze": "max+l2+std"}),
    "gaussian_ct without epsilon": ("gaussian_ct", {"preset": "thirdparty"}),
    "ge of windows": ("ge", {"extent": 2}),
    "bat in two blocks": ("bat", {"preset": "timm"}),
}

# What takes the compiler most: maxima, roots and quotients.
AS_USERS = ["se", "cbam", "gct of maxima", "srm of others", "sk"]

_EMITTERS = "xla_cpu_use_fusion_emitters"
# As users compile; tests/conftest.py has changed the defaults.
OPTIMISED = {
    "xla_backend_optimization_level": 3,
    "xla_llvm_disable_expensive_passes": False,
    **({_EMITTERS: True} if is_known(_EMITTERS, True) else {}),
}

MAPS = {
    "zero": (jnp.zeros(SHAPE), 0.0),
    "constant": (jnp.ones(SHAPE) * jnp.linspace(-1.3, 1.7, CHANNELS), 0.1),
    "alike": (jnp.full(SHAPE, 0.7), 0.1),
    "ties": (jnp.round(feature_map(*SHAPE)), 0.1),
    "one position": (jnp.zeros(SHAPE).at[:, 1, 2].set(1.0), 0.0),
    "large": (1e4 * feature_map(*SHAPE), 0.1),
}


def member(case: str, **more: Any) -> Any:
    name, options = VARIANTS.get(case, (case, {}))
    return build(name, **options, **more)


@cache
def variables_of(case: str) -> Any:
    module = member(case)
    return random_like(jax.eval_shape(module.init, jax.random.key(1), feature_map(*SHAPE)))


def objective(name: str, train: bool, dtype: Any = jnp.float32) -> Any:
    """`(parameters, x), shift -> number`: squares of the output, and the losses that the mechanism adds."""
    in_conv_slot = name in NAMES and attention.describe(name).slot == "conv"
    module = member(name, **({"dtype": dtype} if in_conv_slot else {}))
    variables = variables_of(name)
    rest = {key: value for key, value in variables.items() if key != "params"}
    weight = jax.random.normal(jax.random.key(2), SHAPE)
    collections = ["batch_stats", "losses"] if train else []

    def scalar(point: Any, shift: Any) -> jax.Array:
        params, x = point
        # What a compiler may evaluate anew for every use: a mechanism must not rely on equal results.
        x = x * 1.1 + jnp.asarray(shift, x.dtype)
        y, new = module.apply(
            rest | {"params": params},
            x,
            train=train,
            mutable=collections,
            rngs={"dropout": jax.random.key(3)},
        )
        extra = sum(jax.tree.leaves(new.get("losses", {})), start=0.0)
        return jnp.sum(jnp.square(y.astype(jnp.float32)) * weight) + extra

    return scalar


def start(name: str, x: jax.Array) -> Any:
    return variables_of(name).get("params", {}), x


def dot(a: Any, b: Any) -> float:
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return sum(
        float(np.vdot(np.asarray(x, np.float64), np.asarray(y, np.float64))) for x, y in pairs
    )


def direction(like: Any, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(leaf.dtype), like)


@cache
def second_order(name: str) -> Any:
    """Compiled: `(point, shift, direction) -> (value, gradient), their derivatives in the direction`."""
    scalar = objective(name, train=False)

    @jax.jit
    def along(point: Any, shift: Any, v: Any) -> Any:
        return jax.jvp(jax.value_and_grad(lambda p: scalar(p, shift)), (point,), (v,))

    with kernels.chosen("plain"):
        point = start(name, feature_map(*SHAPE))
        return along.lower(point, 0.1, point).compile()


@cache
def in_training(name: str, dtype: Any = jnp.float32, *, optimised: bool = False) -> Any:
    """Compiled: `(point, shift) -> gradient` of a training step with its noise."""
    gradient = jax.jit(jax.grad(objective(name, True, dtype)))
    with kernels.chosen("plain"):
        point = start(name, feature_map(*SHAPE).astype(dtype))
        return gradient.lower(point, 0.1).compile(OPTIMISED if optimised else {})


@pytest.mark.parametrize("name", NAMES)
def test_both_modes_agree_and_second_derivatives_are_symmetric(name: str) -> None:
    point = start(name, feature_map(*SHAPE))
    v, w = direction(point, 0), direction(point, 1)
    (_, gradient), (forward, hessian_v) = second_order(name)(point, 0.1, v)
    _, (_, hessian_w) = second_order(name)(point, 0.1, w)
    length = dot(gradient, gradient) ** 0.5 * dot(v, v) ** 0.5
    assert abs(forward - dot(gradient, v)) < 1e-6 * length
    assert length > 0
    if name not in STRAIGHT_THROUGH:
        size = dot(hessian_v, hessian_v) ** 0.5 * dot(w, w) ** 0.5
        assert abs(dot(hessian_v, w) - dot(v, hessian_w)) < 1e-4 * size
        assert size > 0


@pytest.mark.parametrize("name", [*NAMES, *VARIANTS])
def test_derivatives_are_finite_on_maps_without_spread(name: str) -> None:
    for kind, (x, shift) in MAPS.items():
        point = start(name, x)
        derivatives = second_order(name)(point, shift, direction(point, 0))
        derivatives += in_training(name)(point, shift)
        for leaf in jax.tree.leaves(derivatives):
            assert np.isfinite(leaf).all(), kind


@pytest.mark.parametrize("name", only(AS_USERS, [*NAMES, *VARIANTS]))
def test_gradients_as_users_compile_are_finite_and_equal(name: str) -> None:
    """Compilers differ in what they evaluate twice; without optimisation they do so the more."""
    for kind, (x, shift) in MAPS.items():
        gradient = in_training(name, optimised=True)(start(name, x), shift)
        for leaf in jax.tree.leaves(gradient):
            assert np.isfinite(leaf).all(), kind
    point = start(name, feature_map(*SHAPE))
    quick = in_training(name)(point, 0.1)
    expected = jax.tree.leaves(in_training(name, optimised=True)(point, 0.1))
    for ours, theirs in zip(jax.tree.leaves(quick), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4 * np.abs(theirs).max())


@pytest.mark.parametrize("name", only(KINDS, NAMES))
def test_gradients_of_a_bfloat16_training_step_are_close_to_those_of_float32(name: str) -> None:
    x = feature_map(*SHAPE)
    exact = in_training(name)(start(name, x), 0.1)
    rough = in_training(name, jnp.bfloat16)(start(name, x.astype(jnp.bfloat16)), 0.1)
    assert rough[1].dtype == jnp.bfloat16
    error = jax.tree.map(lambda a, b: b.astype(jnp.float32) - a, exact, rough)
    for part, of in zip(error, exact, strict=True):
        assert dot(part, part) ** 0.5 <= 0.25 * dot(of, of) ** 0.5


@pytest.mark.parametrize("name", NAMES)
def test_a_gradient_has_a_gradient(name: str) -> None:
    """Reverse over reverse; traced alone, for its rules are those whose values are compared above."""
    scalar = objective(name, train=False)
    point = start(name, feature_map(*SHAPE))

    def along(point: Any) -> jax.Array:
        gradient = jax.grad(lambda p: scalar(p, 0.1))(point)
        return sum(jnp.vdot(leaf, leaf) for leaf in jax.tree.leaves(gradient))

    shapes = jax.eval_shape(jax.grad(along), point)
    assert jax.tree.map(jnp.shape, shapes) == jax.tree.map(jnp.shape, point)
