"""DIANet's cell and a stage of blocks that share it equal the authors'."""

from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import parity
import pytest
from flax.traverse_util import flatten_dict

from chanattn import models
from chanattn.attention import dia
from chanattn.errors import UsageError
from chanattn.interop import from_torch
from chanattn.interop.from_torch import convert
from chanattn.interop.names import Part, block_table, mechanism_table
from chanattn.models.blocks import BLOCKS
from chanattn.models.slots import Slot, Slots

CHANNELS = 8
X = jax.random.normal(jax.random.key(0), (2, 4, 3, CHANNELS))


def test_the_cell_equals_the_authors(golden: Path) -> None:
    arrays = parity.load(golden / "modules" / "dia_cell_c24.npz")
    params = from_torch("dia", parity.state_dict(arrays))["params"]

    def scalar(params: Any, s: jax.Array, h: jax.Array, c: jax.Array) -> Any:
        _, state = dia.DIA().apply(
            {"params": params}, s[:, None, None], dia.State(h, c, 1), False, method="step"
        )
        return jnp.sum(state.h * arrays["g"]) + jnp.sum(state.c * arrays["g_c"]), state

    with jax.default_matmul_precision("highest"):
        derivatives = jax.jit(jax.value_and_grad(scalar, argnums=(0, 1, 2, 3), has_aux=True))
        (_, state), gradients = derivatives(params, *(arrays[key] for key in ("x", "h", "c")))
    parity.assert_close(state.h, arrays["y"], parity.OUTPUT, "h")
    parity.assert_close(state.c, arrays["y_c"], parity.OUTPUT, "c")
    for ours, key in zip(gradients[1:], ("dx", "dh", "dc"), strict=True):
        parity.assert_close(ours, arrays[key], parity.GRADIENT, key)
    (case,) = parity.cases(arrays)
    reference = flatten_dict(from_torch("dia", case.parameter_gradients)["params"])
    ours = flatten_dict(gradients[0])
    assert ours.keys() == reference.keys()
    for path, d in reference.items():
        parity.assert_close(ours[path], d, parity.GRADIENT, "/".join(path))


class Stage(nn.Module):
    """Three bottlenecks that share a cell."""

    remat: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        block = nn.remat(BLOCKS["bottleneck"]) if self.remat else BLOCKS["bottleneck"]
        every = {"slots": Slots(gate=Slot("dia")), "shared": dia.DIA(name="attention")}
        state = None
        for number in (1, 2, 3):
            x, state = block(16, train=train, name=f"block{number}", **every)(x, state)
        return x


@pytest.mark.parametrize("remat", [False, True], ids=["", "remat"])
def test_a_stage_equals_the_authors(golden: Path, remat: bool) -> None:
    arrays = parity.load(golden / "modules" / "dia_stage_c64_3blocks.npz")
    block = block_table("identity", "identity")
    table = (
        *(Part(rf"ModuleList\.{i}\.", f"block{i + 1}/", block) for i in range(3)),
        Part("", "attention/", mechanism_table("dia")),
    )
    to_flax = partial(convert, table=table)
    variables = to_flax(parity.state_dict(arrays))
    for case in parity.cases(arrays):
        parity.check_module(Stage(remat), variables, case, to_flax)


def test_a_stage_called_twice_starts_from_no_state_each_time() -> None:
    class Twice(nn.Module):
        @nn.compact
        def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
            stage = Stage(name="stage")
            return stage(x, False), stage(x, False)

    x = jax.random.normal(jax.random.key(0), (1, 2, 2, 64))
    (first, second), _ = jax.jit(Twice().init_with_output)(jax.random.key(1), x)
    np.testing.assert_array_equal(first, second)


def numpy_cell(params: Any, s: Any, h: Any, c: Any) -> tuple[Any, Any]:
    def sigmoid(z: Any) -> Any:
        return 1 / (1 + np.exp(-z))

    def bottleneck(p: Any, v: Any) -> Any:
        z = np.maximum(v @ p["reduce"]["kernel"] + p["reduce"]["bias"], 0)
        return z @ p["expand"]["kernel"] + p["expand"]["bias"]

    z = bottleneck(params["input"], s) + bottleneck(params["hidden"], h)
    n = s.shape[-1]
    i, f, g, o = (z[:, k * n : (k + 1) * n] for k in range(4))
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * sigmoid(c), c


def network(**attention: Any) -> models.Network:
    return models.create(
        "resnet14", num_classes=3, attention={"name": "dia", **attention}, zero_init_residual=False
    )


def test_a_network_has_one_cell_a_stage_and_every_block_uses_it() -> None:
    model = network()
    images = jax.random.normal(jax.random.key(1), (2, 8, 8, 3))
    variables = jax.jit(model.init)(jax.random.key(2), images)
    params = variables["params"]
    assert [k for k in params if "attention" in k] == [f"stage{i}_attention" for i in (1, 2, 3)]
    assert not any("attention" in k for i in (1, 2) for k in params[f"stage1_block{i}"])
    _, sown = jax.jit(partial(model.apply, mutable=["attention"]))(variables, images)
    for stage in (1, 2, 3):
        weights = sown["attention"][f"stage{stage}_attention"]
        assert set(weights) == {"weights", "weights2"}
        # The second block starts from the state of the first: from zero its weights would be others.
        assert np.abs(weights["weights"] - weights["weights2"]).max() > 1e-4


def test_the_state_goes_from_block_to_block() -> None:
    module = dia.DIA()
    params = module.init(jax.random.key(3), X)["params"]
    h = c = np.zeros((2, CHANNELS))
    state = None
    for number in (1, 2, 3):
        x = X * number
        y, state = module.apply({"params": params}, x, state, False, method="step")
        h, c = numpy_cell(params, np.asarray(x).mean((1, 2)), h, c)
        np.testing.assert_allclose(y, x * h[:, None, None], rtol=1e-5, atol=1e-6)
        assert state.block == number


def test_called_alone_it_is_the_first_block_of_a_stage() -> None:
    module = dia.DIA()
    variables = module.init(jax.random.key(3), X)
    first, _ = module.apply(variables, X, None, False, method="step")
    np.testing.assert_array_equal(module.apply(variables, X), first)


def test_stages_without_it_have_none() -> None:
    shapes = jax.eval_shape(network(stages=(2,)).init, jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    assert [k for k in shapes["params"] if "attention" in k] == ["stage2_attention"]


def test_at_the_end_of_a_stage_it_takes_a_single_step() -> None:
    model = network(placement="stage_end")
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    names = [k for k in shapes["params"] if "attention" in k]
    assert names == ["stage1_attention", "stage2_attention"]


@pytest.mark.parametrize("placement", ["pre", "pre_conv"])
def test_places_where_the_channels_change_within_a_stage_are_refused(placement: str) -> None:
    with pytest.raises(UsageError, match="'dia' cannot be placed at 'pre.*valid: post, after_sum"):
        network(placement=placement)


def test_bad_reductions_are_refused() -> None:
    with pytest.raises(UsageError, match="reduction must be positive, not 0"):
        dia.DIA(reduction=0)
