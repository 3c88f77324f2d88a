"""RegNet, ConvNeXt-V2, NFNet, MixNet, HardCoRe-NAS, GhostNet, RepGhost, ReXNet: what timm computes."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numbered
import numpy as np
import parity
import pytest
from sampling import only
from timm_networks import shallow

from chanattn import attention, models
from chanattn.errors import UsageError
from chanattn.interop import from_torch, to_torch
from chanattn.layers import Conv, MixedConv, StandardizedConv, kernels
from chanattn.models import NFNet, families
from chanattn.models.regnet import stages

LOGITS = 2e-5  # of the largest; float32 and float64 differ by up to 4e-6 in timm itself

# Networks with two blocks a stage or row, and the gain of their weights; less where sums would explode.
MEMBERS = {
    **dict.fromkeys(("regnetx_002", "regnety_002", "regnetv_040", "regnetv_064"), 2.0),
    **dict.fromkeys(("regnetz_005", "regnetz_040", "regnetz_b16", "regnetz_d8"), 2.0),
    **dict.fromkeys(("convnextv2_atto", "convnextv2_tiny"), 2.0),
    **dict.fromkeys(("test_nfnet", "dm_nfnet_f0", "eca_nfnet_l0", "nf_regnet_b0"), 2.0),
    **dict.fromkeys(("nf_seresnet26", "nf_ecaresnet26"), 2.0),
    **dict.fromkeys(("mixnet_s", "tf_mixnet_m", "hardcorenas_a", "hardcorenas_b"), 1.5),
    **dict.fromkeys(("ghostnet_050", "ghostnet_100", "rexnet_100", "rexnetr_100"), 2.0),
    **dict.fromkeys(("ghostnetv2_100", "ghostnetv2_130"), 0.7),
    **dict.fromkeys(("repghostnet_050", "repghostnet_058"), 0.7),
}
OFTEN = (
    *("regnety_002", "regnetv_064", "regnetz_b16", "convnextv2_atto", "test_nfnet"),
    *("nf_regnet_b0", "mixnet_s", "ghostnetv2_100", "repghostnet_050", "rexnet_100"),
)


@pytest.mark.usefixtures("traced_quickly")
@pytest.mark.parametrize("name", only(OFTEN, MEMBERS))
def test_logits_are_those_of_timm(name: str, golden: Path) -> None:
    model, _ = shallow(models.create(name, num_classes=10), 0)
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    blank = jax.tree.map(
        lambda leaf: np.broadcast_to(np.float32(0), leaf.shape),
        jax.eval_shape(model.init, jax.random.key(0), image),
    )
    state = {
        key: numbered.plain_weights(key, array.shape, MEMBERS[name])
        for key, array in to_torch(model, blank).items()
    }
    variables = from_torch(model, state)
    with kernels.chosen("plain"):
        logits, _ = jax.jit(model.apply)(variables, numbered.images(2, 64))
    reference = parity.load(golden / "nets" / "timm_families.npz")
    parity.assert_close(logits, reference[name], LOGITS, name)
    back = to_torch(model, variables)
    assert back.keys() == state.keys()
    assert all(np.array_equal(back[key], state[key]) for key in state)


def test_widths_of_a_regnet_are_those_of_the_paper() -> None:
    """RegNetY-4.0GF of table 9 of the paper; groups of 64 channels decide the last rounding."""
    assert stages(22, 96, 31.41, 2.24) == ((2, 6, 12, 2), (96, 216, 480, 1080))
    assert models.create("regnety_040").planes == (128, 192, 512, 1088)


@pytest.mark.parametrize("chosen", ["identity", "eca", "se"])
def test_the_attention_of_a_family_is_chosen_apart(chosen: str) -> None:
    for name in ("regnety_002", "convnextv2_atto", "nfnet_f0", "mixnet_s", "rexnet_100"):
        assert models.create(name, attention=chosen).slots.gate.name == chosen


@pytest.mark.parametrize(
    ("name", "strides"),
    [
        ("regnety_002", (2, 4, 8, 16, 32)),
        ("regnetz_d8", (2, 4, 8, 16, 32)),
        ("convnextv2_atto", (4, 4, 8, 16, 32)),
        ("nf_regnet_b0", (2, 4, 8, 16, 32)),
        ("nfnet_l0", (2, 4, 8, 16, 32)),
        ("ghostnet_050", (2, 2, 4, 8, 16, 32)),
        ("rexnet_100", (2, 2, 4, 8, 16, 32)),
    ],
)
def test_endpoints_have_the_strides_that_are_told(name: str, strides: tuple[int, ...]) -> None:
    model, _ = shallow(models.create(name, num_classes=3), 0)
    image = jax.ShapeDtypeStruct((1, 64, 96, 3), jnp.float32)
    with kernels.chosen("plain"):
        (_, endpoints), _ = jax.eval_shape(model.init_with_output, jax.random.key(0), image)
    told = model.strides
    assert tuple(told[key] for key in told if key != "final") == strides
    for key, stride in told.items():
        assert endpoints[key].shape[1:3] == (64 // stride, 96 // stride), key


def test_a_standardised_kernel_has_no_mean_and_a_unit_norm() -> None:
    x = jax.random.normal(jax.random.key(0), (2, 5, 5, 8))
    conv = StandardizedConv(6, 3, groups=2, gamma=1.5)
    variables = conv.init(jax.random.key(1), x)
    kernel = np.asarray(variables["params"]["kernel"], np.float64)
    gain = np.linspace(0.5, 2, 6, dtype=np.float32)
    variables["params"]["gain"] = jnp.asarray(gain)
    fan_in = kernel[..., 0].size
    centred = kernel - kernel.mean((0, 1, 2))
    kernel = 1.5 * gain * centred / np.sqrt((centred**2).mean((0, 1, 2)) + 1e-5) / np.sqrt(fan_in)
    plain = Conv(6, 3, groups=2).apply({"params": {"kernel": kernel.astype(np.float32)}}, x)
    np.testing.assert_allclose(conv.apply(variables, x), plain, rtol=1e-4, atol=1e-5)


def test_parts_of_a_mixed_convolution_see_their_own_channels() -> None:
    x = jax.random.normal(jax.random.key(0), (1, 6, 6, 7))
    conv = MixedConv(7, (3, 5, 1), groups=7)
    variables = conv.init(jax.random.key(1), x)
    shapes = {name: leaves["kernel"].shape for name, leaves in variables["params"].items()}
    assert shapes == {"part1": (3, 3, 1, 3), "part2": (5, 5, 1, 2), "part3": (1, 1, 1, 2)}
    y = conv.apply(variables, x)
    alone = Conv(2, 5, groups=2).apply({"params": variables["params"]["part2"]}, x[..., 3:5])
    np.testing.assert_allclose(y[..., 3:5], alone, rtol=1e-6)


def test_a_silent_network_without_norms_passes_its_input_on() -> None:
    """At the start every block is its shortcut, however the branch is silenced."""
    x = jax.random.normal(jax.random.key(0), (1, 4, 4, 16))
    for skip_gain in (True, False):
        block = models.nfnet.NormFreeBlock(filters=16, activation="silu", skip_gain=skip_gain)
        (y, _), _ = block.init_with_output(jax.random.key(1), x)
        np.testing.assert_array_equal(y, x)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"activation": "hard_swish"},
            "unknown activation 'hard_swish' of a network without norms",
        ),
        ({"stem": "deep"}, "unknown stem 'deep' of a network without norms; valid: conv3"),
    ],
)
def test_networks_without_norms_refuse_what_has_no_factor(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        NFNet(layers=(1,), widths=(16,), **({"activation": "silu"} | arguments))


def test_gain_is_a_factor_of_the_weights_of_eca() -> None:
    x = jax.random.normal(jax.random.key(0), (1, 4, 4, 16))
    one, two = attention.ECA(), attention.ECA(gain=2.0)
    variables = one.init(jax.random.key(1), x)
    np.testing.assert_allclose(two.apply(variables, x), 2 * one.apply(variables, x), rtol=1e-6)
    with pytest.raises(UsageError, match="gain must be positive, not 0"):
        attention.ECA(gain=0)


def test_every_architecture_has_a_family() -> None:
    assert {families.family(name) for name in models.names()} == set(families.names())
    assert families.family("wide_resnet50_2") == "resnet"
    assert families.family("wide_resnet28_10") == "cifar"
    with pytest.raises(UsageError, match="unknown family 'regnets'.*Did you mean 'regnet'"):
        families.check("regnets")
