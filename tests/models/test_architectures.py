"""Named architectures: parameter counts against independent counts, and what can be put on them."""

import csv
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from chanattn import attention, models
from chanattn.errors import UsageError

TIMM_SE = {"name": "se", "rounding": "timm"}


def count(name: str, num_classes: int, **options: Any) -> tuple[int, int]:
    """Parameters and running statistics, from shapes alone."""
    model = models.create(name, num_classes=num_classes, **options)
    size = 32 if model.stem.startswith("cifar") else 64
    image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), image)
    sizes = {k: sum(leaf.size for leaf in jax.tree.leaves(v)) for k, v in variables.items()}
    return sizes["params"], sizes["batch_stats"]


def published(golden: Path) -> dict[str, tuple[int, int]]:
    with (golden / "params.csv").open() as file:
        return {
            row["name"]: (int(row["params"]), int(row["buffers"])) for row in csv.DictReader(file)
        }


IMAGENET = {
    name: (name, {}) for name in models.names() if not models.create(name).stem.startswith("cifar")
} | {
    "seresnet50": ("resnet50", {"attention": TIMM_SE}),
    "seresnet18": ("resnet18", {"attention": TIMM_SE}),
    "seresnext101_32x8d": ("resnext101_32x8d", {"attention": TIMM_SE}),
    "ecaresnet50d": ("resnet50d", {"attention": {"name": "eca"}}),
    "ecaresnet101d": ("resnet101d", {"attention": {"name": "eca"}}),
}


@pytest.mark.parametrize("row", IMAGENET)
def test_imagenet_network_has_the_published_parameters(row: str, golden: Path) -> None:
    name, options = IMAGENET[row]
    assert count(name, 1000, **options) == published(golden)[row]


SE = {"name": "se"}
SE_NO_BIAS = {"name": "se", "use_bias": False}
CIFAR = {
    **{
        f"cifar_resnet{depth}_option{option}_{classes}cls": (
            f"resnet{depth}",
            classes,
            {"shortcut": shortcut},
        )
        for depth in (20, 32, 44, 56, 110, 164)
        for option, shortcut in (("A", "zero_pad"), ("B", "projection"))
        for classes in (10, 100)
    },
    **{
        f"cifar_preact_resnet164_bottleneck_{classes}cls": ("preact_resnet164", classes, {})
        for classes in (10, 100)
    },
    **{
        f"cifar_resnet{depth}_optionA_{what}_10cls": (f"resnet{depth}", 10, {"attention": spec})
        for depth in (20, 56, 110)
        for what, spec in (
            ("se_r16_bias", SE),
            ("se_r16_nobias", SE_NO_BIAS),
            ("eca_k3", {"name": "eca", "kernel_size": 3}),
        )
    },
}


@pytest.mark.parametrize("row", CIFAR)
def test_cifar_network_has_the_parameters_of_its_definition(row: str, golden: Path) -> None:
    name, classes, options = CIFAR[row]
    assert count(name, classes, **options) == published(golden)[row]


def basic(channels: int, out: int) -> int:
    return 9 * channels * out + 9 * out * out


@pytest.mark.parametrize(("name", "blocks"), [("resnet8", 1), ("resnet14", 2)])
def test_short_cifar_networks_follow_the_same_definition(name: str, blocks: int) -> None:
    expected = 27 * 16 + 2 * 16 + 64 * 10 + 10
    channels = 16
    for width in (16, 32, 64):
        for _ in range(blocks):
            expected += basic(channels, width) + 4 * width
            channels = width
    assert count(name, 10)[0] == expected


@pytest.mark.parametrize(
    ("name", "blocks", "factor"), [("wide_resnet16_8", 2, 8), ("wide_resnet28_10", 4, 10)]
)
def test_wide_networks_follow_their_definition(name: str, blocks: int, factor: int) -> None:
    # Zagoruyko and Komodakis: BN-ReLU-conv twice, 1x1 projection where the width changes, a last BN.
    expected, channels = 27 * 16, 16
    for width in (16 * factor, 32 * factor, 64 * factor):
        for number in range(blocks):
            expected += basic(channels, width) + 2 * channels + 2 * width
            expected += channels * width if number == 0 else 0
            channels = width
    expected += 2 * channels + 10 * channels + 10
    assert count(name, 10)[0] == expected


GATES = [name for name in attention.names() if attention.describe(name).slot == "gate"]


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("name", models.names())
def test_every_gate_mechanism_fits_on_every_architecture(name: str, gate: str) -> None:
    model = models.create(name, num_classes=7, attention={"name": gate})
    model = model.clone(layers=(1,) * len(model.layers))  # every kind of block, quickly
    image = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    (logits, _), variables = jax.eval_shape(model.init_with_output, jax.random.key(0), image)
    assert logits.shape == (2, 7)
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(variables)]
    if gate not in ("identity", "simam"):
        assert any("['attention']" in path for path in paths)


def test_a_gate_joins_the_conv_mechanism_an_architecture_comes_with() -> None:
    slots = models.create("resnest14d", attention={"name": "eca"}).slots
    assert (slots.gate.name, slots.conv.name) == ("eca", "splat")


def test_a_conv_mechanism_replaces_the_own_one_or_changes_its_options() -> None:
    assert models.create("resnest14d", attention={"name": "sk"}).slots.conv.name == "sk"
    conv = models.create("resnest14d", attention={"name": "splat", "radix": 4}).slots.conv
    assert dict(conv.options) == {"radix": 4, "avd": True}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet5O", {}, "unknown architecture 'resnet5O'.*Did you mean 'resnet5"),
        ("resnet8", {"shortcut": "none"}, "unknown shortcut 'none'; valid: zero_pad"),
        ("resnet8", {"attention": {"name": "ese_"}}, "unknown attention 'ese_'"),
        (
            "resnet8",
            {"attention": {"name": "eca", "reduction": 4}},
            "'eca' takes no option 'reduction'; it takes: kernel_size",
        ),
        (
            "resnet8",
            {"attention": {"name": "se", "placement": "conv"}},
            "'se' cannot be placed at 'conv'; valid: post",
        ),
        (
            "resnet8",
            {"attention": {"name": "sk", "placement": "post"}},
            "'sk' cannot be placed at 'post'; valid: conv",
        ),
        ("resnet8", {"attention": {"name": "se", "stages": (5,)}}, "stages must be some of"),
        ("resnet8", {"attention": {"name": "se", "gate": "sigmoyd"}}, "Did you mean 'sigmoid'"),
        ("resnet8", {"attention": {"name": "se", "reduction": 0}}, "reduction must be positive"),
        ("resnet8", {"attention": {"name": "se", "reduction": "8"}}, "must be of type int"),
        (
            "wide_resnet16_8",
            {"attention": {"name": "sk"}},
            "'sk' replaces a convolution.*pre-activation",
        ),
    ],
)
def test_what_cannot_work_is_refused_at_once(
    name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message) as error:
        models.create(name, **options)
    assert "\n" not in str(error.value)
