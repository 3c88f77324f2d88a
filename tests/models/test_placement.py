"""Where attention acts in a block, checked by gates of a known constant weight."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chanattn import attention
from chanattn.models.blocks import BLOCKS, Block
from chanattn.models.slots import Slot, Slots

HALF = ("se", (("use_bias", False), ("width", 1)))  # zero kernels: every weight is sigmoid(0) = 0.5


def block(kind: str, placement: str, **more: object) -> Block:
    name, options = HALF
    slots = Slots(gate=Slot(name, placement, options=options)) if placement else Slots()
    return BLOCKS[kind](8, slots=slots, zero_init=False, **more)


def output(module: Block, variables: dict, x: jax.Array) -> jax.Array:
    """What the block returns, without the state of a shared mechanism."""
    y, _ = module.apply(variables, x)
    return y


def silence_attention(params: dict) -> dict:
    return jax.tree_util.tree_map_with_path(
        lambda path, p: jnp.zeros_like(p) if "attention" in jax.tree_util.keystr(path) else p,
        params,
    )


def run(kind: str, placement: str, x: jax.Array, **more: object) -> np.ndarray:
    """The block's output, with the same convolutions whatever the placement."""
    plain = block(kind, "", **more).init(jax.random.key(1), x)
    module = block(kind, placement, **more)
    variables = module.init(jax.random.key(1), x)
    params = silence_attention(variables["params"]) | plain["params"]
    return np.asarray(output(module, variables | {"params": params}, x))


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


X = jax.random.normal(jax.random.key(0), (2, 6, 6, 8)) + 0.1


def test_post_halves_the_residual_branch() -> None:
    # With an identity shortcut the branch is what the pre-activation block adds to its input.
    branch = run("preact_basic", "", X) - X
    np.testing.assert_allclose(run("preact_basic", "post", X), X + branch / 2, atol=1e-6)


def test_after_sum_halves_the_output() -> None:
    np.testing.assert_allclose(run("basic", "after_sum", X), run("basic", "", X) / 2, atol=1e-6)


def test_identity_halves_the_shortcut_alone() -> None:
    branch = run("preact_basic", "", X) - X
    np.testing.assert_allclose(run("preact_basic", "identity", X), X / 2 + branch, atol=1e-6)


def test_pre_halves_the_input_of_the_branch_alone() -> None:
    branch_of_half = run("preact_basic", "", X / 2) - X / 2
    np.testing.assert_allclose(run("preact_basic", "pre", X), X + branch_of_half, atol=1e-6)


def test_mid_and_pre_norm_halve_what_the_last_convolution_sees_or_gives() -> None:
    # In a pre-activated basic block both act on the linear last convolution, so the branch is halved.
    branch = run("preact_basic", "", X) - X
    for placement in ("mid", "pre_norm"):
        np.testing.assert_allclose(run("preact_basic", placement, X), X + branch / 2, atol=1e-6)


def test_pre_norm_is_inside_the_norm_and_post_is_outside() -> None:
    # With running statistics of 0 and 1, a norm without bias is linear: both halve the branch. A bias of
    # the norm tells them apart.
    module = block("basic", "pre_norm")
    variables = module.init(jax.random.key(1), X)
    params = silence_attention(variables["params"])
    params["bn2"]["bias"] = jnp.full(8, 3.0)
    plain = {k: v for k, v in params.items() if k != "attention"}
    stats = {"batch_stats": variables["batch_stats"]}
    whole = output(block("basic", ""), stats | {"params": plain}, X - 100) * 0
    unhalved = _branch(plain, stats)
    inside = output(module, stats | {"params": params}, X)
    outside = output(block("basic", "post"), stats | {"params": params}, X)
    np.testing.assert_allclose(inside, relu((unhalved - 3) / 2 + 3 + X) + whole, atol=1e-5)
    np.testing.assert_allclose(outside, relu(unhalved / 2 + X), atol=1e-5)


def _branch(params: dict, stats: dict) -> np.ndarray:
    """Residual branch of a basic block, recomputed from its parts."""
    conv = lambda x, k: jax.lax.conv_general_dilated(  # noqa: E731
        x, k, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    norm = lambda x, p: x / np.sqrt(1 + 1e-5) * p["scale"] + p["bias"]  # noqa: E731
    y = jnp.maximum(norm(conv(X, params["conv1"]["kernel"]), params["bn1"]), 0)
    return np.asarray(norm(conv(y, params["conv2"]["kernel"]), params["bn2"]))


def test_pre_conv_acts_before_every_convolution_of_the_branch() -> None:
    module = block("bottleneck", "pre_conv")
    params = module.init(jax.random.key(1), X)["params"]
    assert {"attention1", "attention2", "attention3"} <= params.keys()


@pytest.mark.parametrize("placement", ["before_norms", "after_norms"])
def test_attention_can_sit_at_every_norm_of_the_branch(placement: str) -> None:
    """With running statistics of 0 and 1 and a bias of the norm, each place halves another part."""
    module = block("basic", placement)
    variables = module.init(jax.random.key(1), X)
    params = silence_attention(variables["params"])
    assert {"attention1", "attention2"} <= params.keys()
    for number, bias in (("bn1", 2.0), ("bn2", 3.0)):
        params[number]["bias"] = jnp.full(8, bias)
    stats = {"batch_stats": variables["batch_stats"]}
    y = output(module, stats | {"params": params}, X)

    def conv(x: np.ndarray, number: int) -> np.ndarray:
        kernel = params[f"conv{number}"]["kernel"]
        layout = ("NHWC", "HWIO", "NHWC")
        z = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=layout)
        return np.asarray(z) / np.sqrt(1 + 1e-5)

    def norm(z: np.ndarray, bias: float) -> np.ndarray:
        return z / 2 + bias if placement == "before_norms" else (z + bias) / 2

    branch = norm(conv(relu(norm(conv(X, 1), 2.0)), 2), 3.0)
    np.testing.assert_allclose(y, relu(branch + X), atol=1e-5)


@pytest.mark.parametrize("kind", ["bottleneck", "preact_bottleneck"])
def test_after_norms_is_in_front_of_the_activation(kind: str) -> None:
    """A factor of -1 there is a norm with its signs turned; behind the activation it is not."""
    gate = Slot("static", "after_norms", options=(("init_scale", -1.0),))
    module = BLOCKS[kind](8, slots=Slots(gate=gate), zero_init=False)
    variables = module.init(jax.random.key(1), X)
    plain = {k: v for k, v in variables["params"].items() if "attention" not in k}
    flipped = jax.tree_util.tree_map_with_path(
        lambda path, p: -p if "bn" in jax.tree_util.keystr(path[:1]) else p, plain
    )
    stats = {"batch_stats": variables["batch_stats"]}
    y = output(module, variables, X)
    same = output(BLOCKS[kind](8, zero_init=False), stats | {"params": flipped}, X)
    np.testing.assert_allclose(y, same, atol=1e-5)


@pytest.mark.parametrize("kind", BLOCKS)
@pytest.mark.parametrize(
    "placement", [p for p in attention.PLACEMENTS if p not in ("conv", "stage_end", "head", "neck")]
)
def test_every_block_has_every_place(kind: str, placement: str) -> None:
    module = block(kind, placement, stride=2)
    variables = module.init(jax.random.key(1), X)
    assert any("attention" in name for name in variables["params"])


@pytest.mark.parametrize("place", ["pre_norm", "mid"])
def test_beside_a_mechanism_of_the_conv_slot_pre_norm_is_behind_it(place: str) -> None:
    """What follows is linear here, so a factor of 0.5 behind the mechanism halves the branch."""
    conv = Slot("splat", "conv")
    outputs = []
    for gate in (Slot(), Slot("constant", place)):
        module = BLOCKS["bottleneck"](8, slots=Slots(gate, conv), zero_init=False)
        variables = module.init(jax.random.key(1), X)
        # A shortcut that leaves all sums positive, so that the activation does nothing.
        variables["params"]["shortcut"]["bn"]["bias"] = jnp.full(32, 100.0)
        outputs.append(output(module, variables, X))
        shortcut = variables
    shortcut["params"]["conv3"]["kernel"] *= 0
    alone = output(module, shortcut, X)
    whole, halved = outputs
    np.testing.assert_allclose(halved - alone, (whole - alone) / 2, atol=1e-4)
    assert np.abs(whole - alone).max() > 0.1


def test_a_block_of_another_stage_has_no_attention() -> None:
    gate = Slot("se", "post", stages=(2,))
    params = [
        BLOCKS["basic"](8, stage=stage, slots=Slots(gate=gate)).init(jax.random.key(0), X)["params"]
        for stage in (1, 2)
    ]
    assert ["attention" in p for p in params] == [False, True]
