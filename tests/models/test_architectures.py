"""Named architectures: parameter counts against independent counts, and what can be put on them."""

import csv
import itertools
import re
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from flax.traverse_util import flatten_dict
from sampling import every
from timm_networks import shallow

from chanattn import attention, models
from chanattn.errors import UsageError
from chanattn.models.timm_names import NETWORKS

pytestmark = pytest.mark.usefixtures("traced_quickly")


def count(name: str, num_classes: int, *, deep: int = 8, **options: Any) -> tuple[int, int]:
    """Parameters and running statistics, from shapes alone.

    Of more than `deep` blocks, two a stage are made: all but the first are equal.
    """
    model = models.create(name, num_classes=num_classes, **options)
    if isinstance(model, models.InvertedResidualNet):  # on which they do not depend
        model = model.clone(padding="symmetric", epsilon=1e-5, image_size=224)
    return count_in(model, deep)


@cache
def count_in(model: models.Network, deep: int) -> tuple[int, int]:
    model, left_out = shallow(model, deep)
    image = jax.ShapeDtypeStruct((1, model.image_size, model.image_size, 3), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), image)
    params, statistics = (
        sum(
            leaf.size * (1 + left_out.get(module, 0))
            for module, leaves in variables.get(collection, {}).items()
            for leaf in jax.tree.leaves(leaves)
        )
        for collection in ("params", "batch_stats")
    )
    return params, statistics


@cache
def table(path: Path) -> dict[str, tuple[int, int]]:
    with path.open() as file:
        return {
            row["name"]: (int(row["params"]), int(row["buffers"])) for row in csv.DictReader(file)
        }


def published(golden: Path) -> dict[str, tuple[int, int]]:
    return table(golden / "params.csv")


OTHER_FAMILIES = r"eca_botnext|ese_vovnet39b_evos|vgg|densenet"


@pytest.mark.parametrize("name", every(3, NETWORKS))
def test_network_of_timm_has_the_published_parameters(name: str, golden: Path) -> None:
    assert count(name, 1000) == published(golden)[name]


def test_blocks_that_are_not_made_are_counted() -> None:
    for name in ("resnet101d", "mobilenetv3_large_150d"):
        assert count(name, 10, attention="se") == count(name, 10, attention="se", deep=1000)


def test_no_published_network_is_forgotten(golden: Path) -> None:
    rows = {row for row in published(golden) if not re.match(OTHER_FAMILIES, row)}
    assert rows == NETWORKS.keys() | CIFAR.keys()


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
        f"cifar_preact_resnet{depth}_bottleneck_{classes}cls": (
            f"preact_resnet{depth}",
            classes,
            {},
        )
        for depth in (164, 1001)
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


def kind(name: str) -> Any:
    """What decides whether a mechanism fits: the class and the block, or the blocks."""
    model = models.create(name)
    if isinstance(model, models.InvertedResidualNet):
        return frozenset(row.kind for rows in model.groups for row in rows)
    return type(model), getattr(model, "block", "")


# The first, so the smallest, architecture of every kind.
KINDS = list({kind(name): name for name in reversed(models.names())}.values())
GATES = [name for name in attention.names() if attention.describe(name).slot == "gate"]
CONVS = [name for name in attention.names() if attention.describe(name).slot == "conv"]


@cache
def parameters_of(name: str, mechanism: str) -> set[str]:
    """Parameters, by path, of a network with one block a stage, which must run.

    Its widths are made multiples of 16, because some mechanisms split the channels.
    """
    model = models.create(name, num_classes=7, attention=mechanism)
    if isinstance(model, models.InvertedResidualNet):
        model = model.clone(
            groups=tuple(
                (row._replace(filters=16 * -(-row.filters // 16), blocks=1),)
                for row, *_ in model.groups
            )
        )
    else:
        model = model.clone(layers=(1,) * len(model.depths))
    if isinstance(model, models.ConvNeXt):
        model = model.clone(widths=tuple(16 * -(-width // 16) for width in model.widths))
    image = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    (logits, _), variables = jax.eval_shape(model.init_with_output, jax.random.key(0), image)
    assert logits.shape == (2, 7)
    return set(flatten_dict(variables["params"], sep="/"))


@pytest.mark.parametrize(("name", "gate"), every(8, itertools.product(KINDS, GATES)))
def test_every_gate_mechanism_fits_in_every_kind_of_network(name: str, gate: str) -> None:
    network = models.create(name)
    if attention.describe(gate).shared and isinstance(network, models.InvertedResidualNet):
        with pytest.raises(
            UsageError, match="shared by the blocks of a stage, whose widths differ"
        ):
            models.create(name, attention=gate)
        return
    if isinstance(network, models.NFNet) and attention.describe(gate).placement == "pre_norm":
        with pytest.raises(UsageError, match="at 'pre_norm': the network has no norms"):
            models.create(name, attention=gate)
        return
    added = parameters_of(name, gate) - parameters_of(name, "identity")
    assert bool(added) == (attention.describe(gate).parameters != "0")
    assert all("attention" in path for path in added)


@pytest.mark.parametrize("conv", CONVS)
@pytest.mark.parametrize("name", KINDS)
def test_every_conv_mechanism_fits_in_what_has_a_place_for_it(name: str, conv: str) -> None:
    model = models.create(name)
    if isinstance(model, models.ResNet) and not model.block.startswith("preact"):
        assert parameters_of(name, conv)
    else:
        with pytest.raises(UsageError, match=f"{conv!r} replaces a convolution"):
            models.create(name, attention=conv)


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
        (
            "resnet8",
            {"attention": {"name": "se", "stages": (3, 4)}},
            r"stages must be some of \(1, 2, 3\) in this network, not \(3, 4\)",
        ),
        ("vovnet39b", {"shortcut": "avg_pool"}, "'vovnet39b' has no choice of shortcuts"),
        (
            "vovnet39b",
            {"attention": {"name": "se", "placement": "identity"}},
            "'se' cannot be placed at 'identity' in stages .1, 2.: they have blocks without",
        ),
        (
            "vovnet39b",
            {"attention": {"name": "sk"}},
            "'sk' replaces a convolution.*of which an OSA block has many; use another architecture",
        ),
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"attention": {"name": "se", "stages": 4}},
            r"stages must be a tuple, as in \(4,\), not 4$",
        ),
        ({"attention": {"name": "se", "stages": "34"}}, r"tuple of numbers, .* not '34'$"),
        (
            {"dropuot": 0.1},
            r"unknown argument 'dropuot' of models.create.* Did you mean 'dropout'\?",
        ),
        ({"layers": (1, 1, 1, 1)}, r"'layers' is \(3, 4, 6, 3\) in architecture 'resnet50'"),
    ],
)
def test_an_argument_that_cannot_be_meant_is_named(arguments, message):
    with pytest.raises(UsageError, match=message):
        models.create("resnet50", **arguments)


@pytest.mark.parametrize("name", ["resnet8", "efficientnet_b0", "ese_vovnet19b_dw"])
def test_one_picture_without_an_axis_for_the_batch_is_refused(name):
    with pytest.raises(UsageError, match=r"\(N, H, W, 3\), not \(32, 32, 3\); .* as x\[None\]"):
        jax.eval_shape(models.create(name).init, jax.random.key(0), jnp.zeros((32, 32, 3)))


@pytest.mark.parametrize("name", ["resnet8", "mobilenetv3_small_050", "convnextv2_atto"])
def test_a_network_can_be_tabulated(name):
    told = models.create(name, num_classes=2).tabulate(jax.random.key(0), jnp.ones((1, 32, 32, 3)))
    assert "classifier" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stochastic_depth": 1.0}, r"stochastic_depth must be in \[0, 1\), not 1.0"),
        ({"dropout": -0.5}, r"dropout must be in \[0, 1\), not -0.5"),
        ({"num_classes": -1}, "num_classes must be a whole number from 0, not -1"),
        ({"num_classes": "10"}, "num_classes must be a whole number from 0, not '10'"),
        ({"activation": "foo"}, "unknown activation 'foo'"),
        (
            {"attention": ["se", "eca"]},
            "attention is a mechanism's name, or a mapping with its name",
        ),
    ],
)
def test_values_that_no_network_can_have_are_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        models.create("resnet8", **arguments)
