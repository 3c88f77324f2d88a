"""All bottlenecks have the same options: a rule from the channels, or the width itself."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest
from flax.traverse_util import flatten_dict

from chanattn import attention, models
from chanattn.errors import UsageError

RULE = {"reduction", "rounding", "divisor", "min_width"}
NO_BOTTLENECK = {"sca": "a hidden layer of the same width for all C"}
NAMES = [
    name
    for name in attention.names()
    if {"reduction", "width"} & attention.describe(name).options.keys()
    and name not in NO_BOTTLENECK
]
# What a mechanism needs for having the rule, or for channels that nothing divides.
NEEDS: dict[str, dict[str, Any]] = {
    "ge": {"variant": "mlp"},
    "gsop": {"reduction": 2},
    "fca": {"frequencies": "top4"},
}
CHANNELS = 96


def shapes(name: str, channels: int = CHANNELS, **options: Any) -> dict[str, tuple[int, ...]]:
    conv = attention.describe(name).slot == "conv"
    module = attention.create(name, **options, **({"filters": channels} if conv else {}))
    x = jax.ShapeDtypeStruct((2, 8, 8, channels), jnp.float32)
    params = jax.eval_shape(module.init, jax.random.key(0), x)["params"]
    return {path: leaf.shape for path, leaf in flatten_dict(params, sep="/").items()}


def has_width(found: dict[str, tuple[int, ...]], width: int) -> bool:
    return any(width in shape for shape in found.values())


@pytest.mark.parametrize("name", NAMES)
def test_every_bottleneck_has_the_options_of_all(name: str) -> None:
    assert attention.describe(name).options.keys() >= RULE | {"width"}


@pytest.mark.parametrize("name", NAMES)
def test_a_width_is_taken_as_it_is(name: str) -> None:
    # A number that no rule gives, even to be divided among groups.
    needs = {k: v for k, v in NEEDS.get(name, {}).items() if k != "reduction"}
    assert not has_width(shapes(name, **needs), 44)
    assert has_width(shapes(name, **needs, width=44), 44)
    with pytest.raises(UsageError, match="width must be positive, not 0"):
        shapes(name, **needs, width=0)


@pytest.mark.parametrize("name", NAMES)
def test_the_rule_can_be_that_of_the_paper_or_a_multiple(name: str) -> None:
    needs = NEEDS.get(name, {}) | {"reduction": 4}
    if name == "splat":
        needs = needs | {"radix": 1}
    if name == "bat":
        needs = needs | {"groups": 1}
    of_what = 164 * (1 / 4 if name == "epsa" else 2 / 3 if name == "simple_coord" else 1)
    floor = int(of_what // 4)
    nearest = int(of_what / 4 + 10) // 20 * 20 or 20
    found = shapes(name, 164, **needs, rounding="paper", min_width=1)
    assert has_width(found, floor), (floor, found)
    found = shapes(name, 164, **needs, rounding="timm", divisor=20, min_width=20)
    assert has_width(found, nearest), (nearest, found)
    found = shapes(name, 164, **needs, rounding="paper", min_width=52)
    assert has_width(found, 52), found


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reduction": 0}, "reduction must be positive, not 0"),
        ({"divisor": 0, "rounding": "timm"}, "divisor must be positive, not 0"),
        ({"min_width": 0}, "min_width must be positive, not 0"),
        ({"rounding": "up"}, "unknown rounding 'up'; valid: paper, timm, mobile"),
        ({"rounding": "paper", "divisor": 8}, "divisor=8 is for rounding 'timm' or 'mobile'"),
        ({"width": 8, "reduction": 4}, "width=8 leaves nothing to say to reduction=4; give one"),
        ({"width": 8, "rounding": "timm"}, "width=8 leaves nothing to say to rounding='timm'"),
        ({"width": 8, "min_width": 4}, "width=8 leaves nothing to say to min_width=4"),
        ({"reduction": 4.0}, "'reduction' must be of type int"),
    ],
)
def test_options_of_the_width_are_checked(name: str, options: dict[str, Any], message: str) -> None:
    needs = {
        k: v for k, v in NEEDS.get(name, {}).items() if k != "reduction" or "width" not in options
    }
    with pytest.raises(UsageError, match=message):
        shapes(name, **(needs | options))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "ge",
            {"reduction": 4},
            "reduction needs a bottleneck, which variant 'theta_minus' has not",
        ),
        ("ge", {"variant": "theta", "width": 4}, "width needs a bottleneck"),
        ("gsop", {"rounding": "timm"}, "rounding is of the rule C / reduction; give a reduction"),
        ("channel", {"mix": "dense", "width": 4}, "mix 'dense' takes no option 'width'"),
        ("se", {"width": 4, "reduce_from": "block_input"}, "nothing to say to reduce_from"),
        (
            "se_gc",
            {"groups": 4, "group_width": 4},
            "group_width=4 leaves nothing to say to groups=4",
        ),
        ("eca", {"kernel_size": 3, "gamma": 1.0}, "kernel_size=3 leaves nothing to say to gamma"),
    ],
)
def test_what_would_not_count_is_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        attention.create(name, **options)


@pytest.mark.parametrize(
    ("channels", "radix", "rd_channels"), [(64, 2, 12), (64, 1, 40), (96, 4, 5)]
)
def test_rd_channels_of_timm_are_a_width_a_split(
    channels: int, radix: int, rd_channels: int
) -> None:
    """timm's SplitAttn: `attn_chs = rd_channels * radix`."""
    found = shapes("splat", channels, radix=radix, width=rd_channels * radix)
    assert found["attention/reduce/kernel"] == (1, channels, rd_channels * radix)
    assert found["attention/expand/kernel"] == (1, rd_channels * radix, channels * radix)


@pytest.mark.parametrize(
    ("filters", "width"), [(64, 8), (96, 8), (128, 8), (200, 16), (320, 24), (512, 32), (1024, 64)]
)
def test_the_preset_of_selective_kernels_is_the_default_of_timm(filters: int, width: int) -> None:
    """Multiples of 8, never 10 % below a sixteenth; each branch sees half of the input."""
    found = shapes("sk", filters, preset="timm")
    assert found["attention/reduce/kernel"] == (filters, width)
    assert found["conv1/kernel"] == found["conv2/kernel"] == (3, 3, filters // 2, filters)
    rest = {"reduction": 8, "divisor": 16}
    assert shapes("sk", 64, preset="timm", **rest)["attention/reduce/kernel"] == (64, 16)
    whole = shapes("sk", filters, preset="timm", split_input=False)
    assert whole["conv1/kernel"] == (3, 3, filters, filters)
    # As before presets: the paper's least width is what it is a multiple of.
    assert shapes("sk", 1100, rounding="timm")["attention/reduce/kernel"] == (1100, 64)


def test_a_width_replaces_the_rule_that_an_architecture_comes_with() -> None:
    for row, name in (("skresnet18", "sk"), ("resnest14d", "splat")):
        model = models.create(row, num_classes=3, attention={"name": name, "width": 44})
        model = model.clone(layers=(1,), planes=(64,))
        x = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
        params = jax.eval_shape(model.init, jax.random.key(0), x)["params"]
        (kernel,) = (
            leaf
            for path, leaf in flatten_dict(params, sep="/").items()
            if path.endswith("attention/reduce/kernel")
        )
        assert kernel.shape[-1] == 44


def test_the_channel_part_of_scse_has_a_reduction_of_2_that_can_be_changed() -> None:
    assert attention.describe("cse").options["reduction"].default == 2
    assert shapes("cse")["mix/reduce/kernel"] == (96, 48)
    assert shapes("cse", reduction=16)["mix/reduce/kernel"] == (96, 6)
