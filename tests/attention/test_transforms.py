"""Mechanisms under Flax's own transforms: rematerialisation, a scan over blocks, and a mesh of devices."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from members import CHANNELS, build, feature_map, random_like
from sampling import only

from chanattn import attention
from tests.conftest import ROOT

NAMES = attention.names()
SHAPE = (2, 4, 3, CHANNELS)
BLOCKS = 3
# One of each kind, for what takes a program more; of the others the shapes.
KINDS = ["se", "eca", "cbam", "simam", "dia", "srm", "top_k", "gumbel_sigmoid", "sca", "sk"]
COLLECTIONS = ["batch_stats", "losses", "attention"]


@cache
def variables_of(name: str) -> Any:
    shapes = jax.eval_shape(build(name).init, jax.random.key(1), feature_map(*SHAPE))
    return random_like(shapes)


def rngs() -> dict[str, jax.Array]:
    return {"dropout": jax.random.key(3)}


class Rematerialised(nn.Module):
    """A mechanism, called `block`, whose activations are computed again for the gradient."""

    mechanism: str
    remat: bool

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        known = attention.describe(self.mechanism)
        # `train` is known while tracing; of mechanisms with a condition it is the argument behind that.
        arguments = (x, None, train) if known.takes_condition else (x, train)
        static = (len(arguments),)
        cls = nn.remat(known.module, static_argnums=static) if self.remat else known.module
        context = {"filters": CHANNELS} if known.slot == "conv" else {}
        return cls(**context, name="block")(*arguments)


def gradients(name: str, *, remat: bool) -> Any:
    variables = {key: {"block": value} for key, value in variables_of(name).items()}
    module = Rematerialised(name, remat)

    def scalar(variables: Any, x: jax.Array) -> Any:
        y, state = module.apply(variables, x, True, rngs=rngs(), mutable=COLLECTIONS)
        return jnp.sum(y**2), state

    return lambda x: jax.grad(scalar, argnums=(0, 1), has_aux=True)(variables, x)


@pytest.mark.parametrize("name", NAMES)
def test_a_rematerialised_mechanism_trains_alike(name: str) -> None:
    x = feature_map(*SHAPE)
    if name not in KINDS:
        plain = jax.eval_shape(gradients(name, remat=False), x)
        assert jax.eval_shape(gradients(name, remat=True), x) == plain
        return
    plain, remat = (jax.jit(gradients(name, remat=remat))(x) for remat in (False, True))
    assert jax.tree.structure(plain) == jax.tree.structure(remat)
    for ours, theirs in zip(jax.tree.leaves(remat), jax.tree.leaves(plain), strict=True):
        scale = float(np.abs(theirs).max())
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * scale)


class Scanned(nn.Module):
    """Blocks of one mechanism, whose parameters are stacked along a first axis."""

    mechanism: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        def step(block: nn.Module, x: jax.Array, _: None) -> tuple[jax.Array, None]:
            return block(x, train=True), None

        scan = nn.scan(
            step,
            variable_axes={"params": 0, "batch_stats": 0, "losses": 0, "attention": 0},
            split_rngs={"params": True, "dropout": True},
            length=BLOCKS,
        )
        context = {"filters": CHANNELS} if attention.describe(self.mechanism).slot == "conv" else {}
        y, _ = scan(attention.create(self.mechanism, name="block", **context), x, None)
        return y


@pytest.mark.parametrize("name", [name for name in NAMES if name != "identity"])
def test_blocks_can_be_scanned_over(name: str) -> None:
    x = feature_map(*SHAPE)
    scanned = Scanned(name)
    stacked = jax.tree.map(
        lambda leaf: jnp.stack([leaf * (0.5 + 0.5 * block) for block in range(BLOCKS)]),
        {key: {"block": value} for key, value in variables_of(name).items()},
    )

    def run(variables: Any, x: jax.Array) -> Any:
        return scanned.apply(variables, x, rngs=rngs(), mutable=COLLECTIONS)

    shapes, state = jax.eval_shape(run, stacked, x)
    assert shapes.shape == x.shape
    sown = jax.tree.leaves(state["attention"])
    assert sown
    assert all(leaf.shape[:2] == (BLOCKS, SHAPE[0]) for leaf in sown)
    noisy = name in ("gumbel_sigmoid", "gumbel_softmax", "hard_concrete", "random_k")
    if name not in KINDS or noisy:
        return
    expected = x
    for block in range(BLOCKS):
        own = jax.tree.map(lambda leaf, block=block: leaf[block], stacked)
        variables = {key: value["block"] for key, value in own.items()}
        expected, _ = build(name).apply(
            variables, expected, train=True, rngs=rngs(), mutable=COLLECTIONS
        )
    y, _ = jax.jit(run)(stacked, x)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5 * float(np.abs(expected).max()))


@pytest.mark.parametrize("name", only(KINDS, NAMES))
def test_a_mechanism_initialises_under_a_scan(name: str) -> None:
    shapes = jax.eval_shape(Scanned(name).init, jax.random.key(0), feature_map(*SHAPE))
    for leaf in jax.tree.leaves(shapes.get("params", {})):
        assert leaf.shape[0] == BLOCKS


SHARDED = ["se", "eca", "cbam", "srm", "top_k", "sca", "sk", "gc"]
PROGRAM = """
import sys
import jax, jax.numpy as jnp, numpy as np
jax.config.update("jax_num_cpu_devices", 2)
from jax.sharding import NamedSharding, PartitionSpec as P
from test_transforms import COLLECTIONS, SHAPE, build, feature_map, variables_of

names, (n, *rest) = sys.argv[1:], SHAPE
x = np.tile(feature_map(*SHAPE), (2, 1, 1, 1)) * np.linspace(0.5, 1.5, 2 * n)[:, None, None, None]
x = x.astype(np.float32)
variables = {name: jax.device_get(variables_of(name)) for name in names}

def losses(variables, x):
    def loss(params, name):
        state = variables[name] | {"params": params}
        y, changed = build(name).apply(state, x, train=True, mutable=COLLECTIONS)
        return jnp.mean(y ** 2), changed
    return {
        name: jax.grad(loss, has_aux=True)(variables[name]["params"], name) for name in names
    }

mesh = jax.make_mesh((2,), ("data",))
spread = jax.device_put(x, NamedSharding(mesh, P("data")))
copies = jax.device_put(variables, NamedSharding(mesh, P()))
sharded, alone = (jax.jit(losses)(*args) for args in ((copies, spread), (variables, x)))
assert not sharded["se"][1]["attention"]["weights"].sharding.is_fully_replicated
for ours, theirs in zip(jax.tree.leaves(sharded), jax.tree.leaves(alone), strict=True):
    # Some gradients are 0 but for rounding: a shift of a softmax's logits.
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * np.abs(theirs).max() + 1e-7)
"""


def test_a_batch_is_split_over_devices_and_nothing_changes() -> None:
    """Batch norms see the whole batch, weights lie where their pictures lie, gradients are sums."""
    path = os.pathsep.join([str(Path(__file__).parent), str(ROOT), str(ROOT / "tests" / "support")])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *SHARDED],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
