"""Attention is where it was asked for: in every kind of network, at every place, in every chosen block.

Either a network is refused when it is made, or there is a sown weight in every chosen place. What networks
ask of a mechanism is its slot and whether the blocks of a stage share it, so one of each class stands for all
over the kinds, places and stages; and every mechanism is tried at every place of one network.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from sampling import only

from chanattn import attention, models
from chanattn.errors import UsageError
from chanattn.models import ConvNeXt, InvertedResidualNet, Network, NFNet, ResNet, VoVNet
from chanattn.models.inverted_residual import Place
from chanattn.models.slots import Slot, Slots, resolve
from chanattn.training.validate import validate
from configs import cifar10, digits, imagenet

pytestmark = pytest.mark.usefixtures("traced_quickly")

NAMES = [name for name in attention.names() if name != "identity"]
GATES = [name for name in NAMES if attention.describe(name).slot == "gate"]
CONVS = [name for name in NAMES if attention.describe(name).slot == "conv"]
SHARED = [name for name in GATES if attention.describe(name).shared]

KINDS = (
    *("resnet8", "resnet11_bottleneck", "preact_resnet20", "preact_resnet164", "wide_resnet16_8"),
    *("resnet18", "resnet50", "resnet50d", "resnet50t", "resnet33ts", "resnetrs50"),
    *("resnext50_32x4d", "senet154", "legacy_resnet18", "legacy_resnet50"),
    *("resnest14d", "resnest50d_4s2x40d", "skresnet18", "skresnet50", "skresnext50_32x4d"),
    *("vovnet39a", "vovnet19b_dw", "vovnet39b", "mobilenetv1_100", "mobilenetv2_100"),
    *("efficientnet_b0", "mobilenetv3_small_100", "tf_efficientnetv2_b0"),
    *("regnety_002", "regnetv_064", "regnetz_005", "regnetz_b16", "regnetz_d8", "convnextv2_atto"),
    *("dm_nfnet_f0", "nf_regnet_b0", "nf_resnet26", "mixnet_s", "hardcorenas_a"),
    *("ghostnet_050", "ghostnetv2_100", "repghostnet_050", "rexnet_100"),
)
BRANCH = {"basic": 2, "bottleneck": 3, "preact_basic": 2, "preact_bottleneck": 3}  # convolutions
AT_EVERY_CONVOLUTION = ("pre_conv", "before_norms", "after_norms")
CHANGING = ("pre", *AT_EVERY_CONVOLUTION)  # the width changes within a stage
OUTSIDE = ("stage_end", "head", "neck")
PLACES = [place for place in attention.PLACEMENTS if place != "conv"]
STAGES = ((), (1,), (2,))


@cache
def plain(kind: str) -> Network:
    """The first two stages of a network, of one and two blocks, with its own conv mechanism alone."""
    model = models.create(kind, num_classes=3)
    if isinstance(model, ResNet):
        return model.clone(layers=(1, 2), planes=model.planes[:2])
    if isinstance(model, (ConvNeXt, NFNet)):
        return model.clone(layers=(1, 2), widths=model.widths[:2])
    if isinstance(model, VoVNet):
        return model.clone(
            layers=model.layers[1:3], widths=(16, 24), filters=(32, 48), block_layers=2
        )
    # Of those that were published with attention in some blocks one is in the second stage.
    first, *others = [row for rows in model.groups for row in rows]
    start = next(i for i, row in enumerate(others) if row.stride == 2)
    attended = next(row for row in others[start:] if row.attention)
    second = (others[start]._replace(blocks=1), attended._replace(blocks=1, stride=1))
    return model.clone(groups=((first._replace(blocks=1),), second))


def with_attention(
    kind: str, name: str, place: str, stages: tuple[int, ...] = (), head: str = "classifier"
) -> Network:
    spec = {"name": name, "placement": place, "stages": stages}
    slots = resolve(spec, models.ARCHITECTURES[kind].get("conv"))
    return plain(kind).clone(slots=slots, head=head)


def sown(model: Network, variables: Any = None, size: int = 32) -> dict[str, Any]:
    """What an evaluation shows of the weights, by block, stage or head; from shapes alone."""

    def look(variables: Any, x: jax.Array) -> Any:
        # All collections are mutable: a parameter that is not given is made, as by `init`.
        rngs = {"params": jax.random.key(0)}
        return model.apply(variables, x, mutable=True, rngs=rngs)[1].get("attention", {})

    x = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
    found: dict[str, Any] = jax.eval_shape(look, variables or {}, x)
    return found


def counts(found: dict[str, Any]) -> dict[str, int]:
    """How many modules of the gate slot show weights, in each block, and behind stages or the last."""
    numbers = {
        owner: 1
        if owner.endswith("_attention")
        else sum(m.startswith("attention") or m.endswith("_attention") for m in _within(modules))
        for owner, modules in found.items()
    }
    return {owner: number for owner, number in numbers.items() if number}


def _within(modules: dict[str, Any]) -> list[str]:
    """Names of the modules of a block or head, where it has a pyramid of those in that."""
    return [*modules, *modules.get("pyramid", {})]


def attended(model: InvertedResidualNet, stages: tuple[int, ...]) -> list[Place]:
    """The blocks of the stages, or, where none are named, those that were published with attention."""
    return [
        each
        for each in model.places()
        if each.stage in stages or (not stages and each.row.attention)
    ]


@cache
def variables_of(kind: str) -> Any:
    x = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    return jax.eval_shape(plain(kind).init, jax.random.key(0), x)


def blocks(model: Network, stages: tuple[int, ...] = ()) -> Iterator[tuple[int, str, int]]:
    """Stage, name and number of convolutions of every block that attention in those stages can sit in."""
    if isinstance(model, InvertedResidualNet):
        for place in attended(model, stages):
            convolutions = {"conv": 1, "fused": 2, "separable": 2}.get(place.row.kind)
            if "ghost" in place.row.kind:  # two modules of two; a stride has one more
                convolutions = 4 if place.stride == 1 else 5
            name = f"stage{place.stage}_block{place.number}"
            yield place.stage, name, convolutions or (2 if place.row.expansion == 1 else 3)
        return
    for stage, depth in enumerate(model.depths, 1):
        for number in range(1, depth + 1):
            name = f"stage{stage}_block{number}"
            if isinstance(model, ResNet):
                yield stage, name, BRANCH[model.block]
            elif isinstance(model, (ConvNeXt, NFNet)):
                yield stage, name, 3 + getattr(model, "extra_conv", False)
            elif number == depth:  # of a VoVNet; a depthwise block first narrows what is wider
                assert isinstance(model, VoVNet)
                before = model.filters[stage - 2] if stage > 1 else model.stem_widths[-1]
                before = model.filters[stage - 1] if number > 1 else before
                narrows = model.depthwise and before != model.widths[stage - 1]
                yield stage, name, model.block_layers + 1 + narrows


def expected(model: Network, place: str, stages: tuple[int, ...]) -> dict[str, int]:
    """What must be sown; nothing: there is no such place, or not in all that was chosen."""
    chosen = stages or (1, 2)
    if isinstance(model, NFNet) and place in ("pre_norm", "before_norms", "after_norms"):
        return {}
    if place == "neck":
        return {}  # of a classifier
    if place == "head":
        return {} if 1 in stages else {"head_attention": 1}
    if place == "stage_end":
        return {f"stage{i}_attention": 1 for i in stages or (1,)}
    if (place, type(model)) == ("identity", InvertedResidualNet) and not all(
        each.has_shortcut for each in attended(model, stages)
    ):
        return {}
    if place == "identity" and isinstance(model, VoVNet):
        with_shortcut = {2} if model.residual and model.layers[1] > 1 else set()
        if not set(chosen) <= with_shortcut:
            return {}
    if place == "identity" and getattr(model, "shortcut", "") == "absent":
        assert isinstance(model, ResNet)  # whose first stage is as wide as the stem, or not
        same = model.stem == "tiered" and model.planes[0] == 2 * model.stem_width
        if chosen != (1,) or not same:
            return {}
    if isinstance(model, ConvNeXt) and place in ("before_norms", "after_norms"):
        return {name: 1 for stage, name, _ in blocks(model) if stage in chosen}
    return {
        name: convolutions if place in AT_EVERY_CONVOLUTION else 1
        for stage, name, convolutions in blocks(model, stages)
        if stage in chosen
    }


def check_places(kind: str, stages: tuple[int, ...], places: list[str]) -> None:
    """At these places, in these stages: attention is where it must be, or is refused when it cannot be."""
    for place in places:
        wanted = expected(plain(kind), place, stages)
        if not wanted:
            with pytest.raises(UsageError, match=f"at '{place}'"):
                with_attention(kind, "constant", place, stages)
            continue
        model = with_attention(kind, "constant", place, stages)
        # This mechanism has no parameters, so those of the plain network serve everywhere.
        assert counts(sown(model, variables_of(kind))) == wanted, place


# One of each class of network and block, with each stem, pool and slot of convolutions.
CLASSES = (
    *("resnet11_bottleneck", "preact_resnet20", "preact_resnet164", "resnet18", "resnet50t"),
    *("resnet33ts", "legacy_resnet50", "skresnet18", "resnest50d_4s2x40d", "vovnet19b_dw"),
    *("vovnet39b", "efficientnet_b0", "regnetz_d8", "convnextv2_atto", "nf_regnet_b0", "mixnet_s"),
    *("ghostnetv2_100", "repghostnet_050", "rexnet_100"),
)


@pytest.mark.parametrize("kind", only(CLASSES, KINDS))
def test_attention_is_in_every_chosen_place_or_the_network_is_refused(kind: str) -> None:
    check_places(kind, (2,), PLACES)
    check_places(kind, (), ["mid", "identity", *OUTSIDE])
    check_places(kind, (1,), ["head"])


@pytest.mark.soak
@pytest.mark.parametrize("stages", STAGES)
@pytest.mark.parametrize("kind", models.names())
def test_attention_is_in_every_architecture_of_the_table(
    kind: str, stages: tuple[int, ...]
) -> None:
    check_places(kind, stages, PLACES)


@pytest.mark.parametrize(
    "kind",
    [
        *("resnet8", "skresnet50", "preact_resnet164", "vovnet39b", "convnextv2_atto"),
        *("nf_resnet26", "nf_regnet_b0", "regnetz_b16"),
    ],
)
@pytest.mark.parametrize("name", SHARED)
def test_a_shared_mechanism_sees_every_block_of_a_stage(name: str, kind: str) -> None:
    attended = sum(stage == 2 for stage, *_ in blocks(plain(kind)))
    for place in PLACES:
        if place in CHANGING:
            with pytest.raises(UsageError, match=f"'{name}' cannot be placed at '{place}'"):
                with_attention(kind, name, place, (2,))
            continue
        if not expected(plain(kind), place, (2,)) and place != "neck":
            with pytest.raises(UsageError, match=f"at '{place}'"):
                with_attention(kind, name, place, (2,))
            continue
        if place in ("mid", "pre_norm") and getattr(plain(kind), "width_of_input", False):
            with pytest.raises(UsageError, match=f"whose widths differ at '{place}'"):
                with_attention(kind, name, place, (2,))
            continue
        if place == "neck":
            found = sown(with_attention(kind, name, place, head="fpn"))
            assert counts(found) == {"fpn": 2}  # both stages have a lateral
            continue
        found = sown(with_attention(kind, name, place, (2,)))
        owner = "head_attention" if place == "head" else "stage2_attention"
        assert len(found[owner]) == (1 if place in OUTSIDE else attended), place


@pytest.mark.parametrize("name", SHARED)
def test_a_shared_mechanism_is_refused_where_the_widths_of_a_stage_differ(name: str) -> None:
    with pytest.raises(UsageError, match="is shared by the blocks of a stage"):
        with_attention("mobilenetv2_100", name, "post")


@pytest.mark.parametrize("name", CONVS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_conv_mechanism_is_in_every_chosen_block_or_the_network_is_refused(
    kind: str, name: str
) -> None:
    network = plain(kind)
    no_slot = not isinstance(network, ResNet) or network.block.startswith("preact")
    grouped = getattr(network, "cardinality", 1) > 1 or getattr(network, "group_width", 0) > 0
    if no_slot or (name == "epsa" and grouped):
        with pytest.raises(UsageError, match=f"attention '{name}' replaces|epsa: the branches"):
            with_attention(kind, name, "conv", (2,))
        return
    if (kind, name) == ("regnety_002", "splat"):  # seven groups
        with pytest.raises(UsageError, match="must divide by radix x groups = 14"):
            with_attention(kind, name, "conv", (2,))
        return
    model = with_attention(kind, name, "conv", (2,))
    if name == CONVS[-1] or kind in ("resnet8", "resnet50"):
        assert sown(model).keys() == {"stage2_block1", "stage2_block2"}


LEVELS = (("levels", (1,)), ("tower", 1))  # of a detector on one stage


@pytest.mark.parametrize("name", GATES)
def test_every_mechanism_can_sit_at_every_place(name: str) -> None:
    network = models.create("resnet8", num_classes=3).clone(layers=(1,), planes=(16,))
    for place in PLACES:
        if name in SHARED and place in CHANGING:
            continue
        in_head = place == "neck"
        stages = () if in_head else (1,)
        slots = resolve({"name": name, "placement": place, "stages": stages})
        for head in ("fpn", "fcos") if in_head else ("classifier",):
            options = {"head": head, "head_options": LEVELS if head == "fcos" else ()}
            found = sown(network.clone(slots=slots, **options), size=16)
            (number,) = counts(found).values()
            assert number == (2 if place in AT_EVERY_CONVOLUTION else 1), place
            assert all(weights.shape[0] == 2 for weights in jax.tree.leaves(found))


# The places of attention in a head of a network of four stages, and of three at strides from 1 on.
OF_HEADS = {
    **{"fpn": (4, 3), "bisenet": (3, 3), "encnet": (1, 1), "danet": (2, 2), "unet": (9, 4)},
    "fcos": (3, 3),
}
FOUR = {"resnet18": {"layers": (1,) * 4}, "mobilenetv2_100": {}, "vovnet39a": {"layers": (1,) * 4}}


def with_head(kind: str, head: str) -> Network:
    """A detector has levels of its own, of which the default does not begin at stride 1."""
    options = {"levels": (1, 2, 4)} if (head, kind) == ("fcos", "resnet8") else {}
    return models.create(kind, num_classes=3, head=head, head_options=options)


@pytest.mark.parametrize("head", OF_HEADS)
def test_attention_is_in_every_place_of_a_head_or_nowhere_there(head: str) -> None:
    for kind, changes in {**FOUR, "resnet8": {}}.items():
        model = with_head(kind, head).clone(**changes)
        slots = resolve({"name": "constant", "placement": "neck"})
        found = counts(sown(model.clone(slots=slots), size=40))
        assert found == {head: OF_HEADS[head][kind == "resnet8"]}, kind
    nowhere = {"name": "identity", "placement": "neck"}  # nor the head's own
    left = counts(sown(model.clone(slots=resolve(nowhere)), size=16))
    assert left == ({"danet": 1} if head == "danet" else {})  # attention among positions
    own = counts(sown(model, size=16))
    assert own == ({} if head in ("fpn", "unet", "fcos") else {head: OF_HEADS[head][1]})


@pytest.mark.parametrize("head", [*OF_HEADS, "classifier", ""])
def test_attention_is_refused_where_a_head_has_no_place_or_would_not_see_it(head: str) -> None:
    model = with_head("resnet8", head)
    unseen, stages = Slot("se", "head"), Slot("se", "neck", (1,))
    refused = [(stages, "at 'neck' is in all places of the head: stages must be empty")]
    if head in OF_HEADS:
        refused.append((unseen, f"the head {head} does not look; place it at 'neck'"))
        assert model.clone(slots=Slots(gate=Slot("identity", "head"))).head == head
    else:
        called = "the head classifier" if head else "a network without a head"
        message = (
            f"at 'neck': {called} has no such place.*bisenet, danet, encnet, fcos, fpn.*, unet"
        )
        refused.append((Slot("se", "neck"), message))
    for slot, message in refused:
        with pytest.raises(UsageError, match=message):
            model.clone(slots=Slots(gate=slot))


# What does not fit the widths of inverted residuals, found by the shapes before anything is written.
TOO_NARROW = ("fca", "se_gc")


@pytest.mark.soak
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", GATES)
def test_every_mechanism_fits_every_network_at_its_own_place(name: str, kind: str) -> None:
    model = models.create(kind, num_classes=3)
    if not isinstance(model, InvertedResidualNet):
        model = model.clone(layers=(1,) * len(model.depths))
    slots = resolve({"name": name}, models.ARCHITECTURES[kind].get("conv"))
    if name in SHARED and isinstance(model, InvertedResidualNet):
        return  # refused, see above
    if name in TOO_NARROW and isinstance(model, InvertedResidualNet) and kind != "mobilenetv1_100":
        with pytest.raises(UsageError, match=r"do not divide (24|40) channels"):
            sown(model.clone(slots=slots), size=model.image_size)
        return
    found = counts(sown(model.clone(slots=slots), size=model.image_size))
    behind = {"head": 1, "stage_end": len(model.depths) - 1}
    inside = (
        len(list(blocks(model))) if isinstance(model, InvertedResidualNet) else sum(model.depths)
    )
    assert len(found) == behind.get(slots.gate.placement, inside)


def test_a_slot_made_by_hand_is_checked_like_one_from_a_config() -> None:
    network = plain("resnet8")
    for slots, message in (
        (Slots(gate=Slot("se", "pots")), "cannot be placed at 'pots'.*post"),
        (Slots(gate=Slot("sk", "conv")), "'sk' is for the conv slot, not for the gate slot"),
        (Slots(conv=Slot("se", "post")), "'se' is for the gate slot, not for the conv slot"),
        (Slots(gate=Slot("dia", "pre")), "'dia' cannot be placed at 'pre'"),
        (Slots(gate=Slot("se", "post", (3,))), "stages must be some of"),
        (
            Slots(gate=Slot("se", "head", (1,))),
            r"'head' is behind the last stage.*\(2,\), not \(1,\)",
        ),
    ):
        with pytest.raises(UsageError, match=message):
            network.clone(slots=slots)
    with pytest.raises(UsageError, match="'stage_end' has no place"):
        network.clone(layers=(1,), planes=(16,), slots=Slots(gate=Slot("se", "stage_end")))


@pytest.mark.parametrize("name", NAMES)
def test_recipes_take_it_as_their_argument(name: str) -> None:
    for recipe in (digits, cifar10, imagenet):
        config = recipe.get_config(name)
        assert config.model.attention.name == name
        validate(config)
