"""Heads of dense tasks against PyTorch's, and on backbones."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from head_parity import Arrays, check, keep
from members import random_like

from chanattn import attention, models
from chanattn.errors import UsageError
from chanattn.interop.names import mechanism_table
from chanattn.interop.names.rules import Part, Rule, Skip, Table
from chanattn.models import heads
from chanattn.models.__main__ import costs_of_head
from chanattn.models.heads import FPN, BiSeNet, DANet, EncNet, UNet, WithAuxiliary
from chanattn.models.heads.encnet import FCN
from chanattn.models.heads.parts import levels
from chanattn.models.slots import Slot
from chanattn.tasks.segmentation import Segmentation

ROOT = Path(__file__).resolve().parent.parent.parent


def pair(torch: str, ours: str, conv: str = "0", bn: str = "1") -> Table:
    """A convolution with its batch norm."""
    return (Rule(rf"{torch}\.{conv}", f"{ours}/conv"), Rule(rf"{torch}\.{bn}", f"{ours}/bn"))


def gate(torch: str, ours: str, mechanism: str) -> Table:
    return (Part(rf"{torch}\.", f"{ours}_attention/", mechanism_table(mechanism)),)


class Refine(BiSeNet):
    """The first place of attention alone."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:  # type: ignore[override]
        return self.refine(x, "refine32", train)


class Fuse(BiSeNet):
    """The second place alone."""

    @nn.compact
    def __call__(self, x_sp: jax.Array, x_cp: jax.Array, train: bool) -> jax.Array:  # type: ignore[override]
        return self.fuse(x_sp, x_cp, train)


class Decoder(UNet):
    """Without the last layer."""

    @nn.compact
    def __call__(self, maps: Any, train: bool) -> jax.Array:  # type: ignore[override]
        return self.decode(maps, maps["image"].shape[1:3], train)


def outputs_of(y: Any, names: Mapping[str, str] = {}) -> dict[str, jax.Array]:
    """Those of a head by the names of a golden file."""
    if not isinstance(y, WithAuxiliary):
        return {"y": y}
    return {"y": y.logits} | {names[name]: x for name, x in y.auxiliary.items() if name in names}


def of_map(inputs: Arrays, path: str) -> int:
    """Norms see every position of a map, those of pooled vectors one value a picture."""
    pictures, height, width, _ = next(iter(inputs.values())).shape
    return pictures if path.endswith("mix/norm") else pictures * height * width


def test_the_attention_refinement_of_bisenet_equals_the_reference(golden: Path) -> None:
    def run(variables: Any, inputs: Any, train: bool) -> Any:
        module = Refine(num_classes=3, width=12)
        y, new = module.apply(variables, inputs["x"], train, mutable=["batch_stats"])
        return {"y": y}, new

    table = (
        *pair("conv_3x3", "refine32", "conv", "bn"),
        *gate("channel_attention", "refine32", "arm"),
    )
    check(golden, "seg_bisenet_arm", table, run, of_map)


@pytest.mark.parametrize("preset", ["official", "port"])
def test_the_feature_fusion_of_bisenet_equals_the_reference(golden: Path, preset: str) -> None:
    def run(variables: Any, inputs: Any, train: bool) -> Any:
        # In ARM's place and in FFM's; here in the latter.
        module = Fuse(num_classes=3, width=8, neck=Slot("ffm", "neck", (), (("preset", preset),)))
        maps = (inputs["x_sp"], inputs["x_cp"])
        y, new = module.apply(variables, *maps, train, mutable=["batch_stats"])
        return {"y": y}, new

    table = (
        *pair("conv_1x1", "fuse", "conv", "bn"),
        *gate("channel_attention", "fuse", "ffm" if preset == "official" else "arm"),
    )
    file = {"official": "seg_bisenet_ffm_r1", "port": "seg_bisenet_ffm_bn"}[preset]
    check(golden, file, table, run, of_map)


@pytest.mark.parametrize("lateral", [False, True])
def test_encnet_equals_the_reference(golden: Path, lateral: bool) -> None:
    codes = 6 if lateral else 8
    slot = Slot("encnet", "neck", (), (("codes", codes), ("se_loss", True)))

    def run(variables: Any, inputs: Any, train: bool) -> Any:
        head = EncNet(
            num_classes=4 if lateral else 5,
            width=16,
            lateral=lateral,
            neck=slot,
            strides=tuple((f"stage{name[-1]}", 8) for name in inputs),
        )
        maps = {f"stage{name[-1]}": x for name, x in inputs.items()}
        size = inputs["x_c4"].shape[1:3]
        collections = ["batch_stats", "presence"]
        if lateral:  # an output that this file has not, whose weights do not matter
            width = maps["stage3"].shape[-1]
            auxiliary = FCN(head.num_classes).init(
                jax.random.key(0), jnp.zeros((1, 3, 3, width)), keep, False
            )
            variables = {
                kind: tree | {"auxiliary": auxiliary[kind]} for kind, tree in variables.items()
            }
        y, new = head.apply(variables, maps, size=size, drop=keep, train=train, mutable=collections)
        new["batch_stats"].pop("auxiliary", None)
        (presence,) = jax.tree.leaves(new["presence"])
        return outputs_of(y) | {"y_se": presence}, new

    table = (
        *pair("conv5", "conv"),
        *pair(r"connect\.0", "lateral1"),
        *pair(r"connect\.1", "lateral2"),
        *pair("fusion", "fuse"),
        *gate("encmodule", "encoding", "encnet"),
        Rule(r"conv6\.1", "logits"),
    )

    def counts(inputs: Arrays, path: str) -> int:
        # Of the norm of the codes: every picture and channel.
        return len(inputs["x_c4"]) * 16 if path.endswith("codes_bn") else of_map(inputs, path)

    check(golden, f"seg_encnet_head{'_lateral' if lateral else ''}", table, run, counts)


def test_fcn_equals_the_reference(golden: Path) -> None:
    def run(variables: Any, inputs: Any, train: bool) -> Any:
        head = FCN(num_classes=5)
        y, new = head.apply(variables, inputs["x"], keep, train, mutable=["batch_stats"])
        return {"y": y}, new

    table = (Rule(r"0", "conv/conv"), Rule(r"1", "conv/bn"), Rule(r"4", "logits"))
    check(golden, "seg_fcn_head", table, run, of_map)


def test_danet_equals_the_reference(golden: Path) -> None:
    def run(variables: Any, inputs: Any, train: bool) -> Any:
        head = DANet(num_classes=5, strides=(("stage4", 8),))
        y, new = head.apply(
            variables,
            {"stage4": inputs["x"]},
            size=inputs["x"].shape[1:3],
            drop=keep,
            train=train,
            mutable=["batch_stats"],
        )
        return outputs_of(y, {"position": "y_sa", "channel": "y_sc"}), new

    table = (
        *pair("conv5a", "position_before"),
        *pair("conv51", "position_behind"),
        *pair("conv5c", "channel_before"),
        *pair("conv52", "channel_behind"),
        *gate("sa", "position", "danet_pam"),
        *gate("sc", "channel", "danet_cam"),
        Rule(r"conv6\.1", "position_logits"),
        Rule(r"conv7\.1", "channel_logits"),
        Rule(r"conv8\.1", "logits"),
    )
    check(golden, "seg_danet_head", table, run, of_map)


def test_the_position_attention_of_danet_equals_the_reference(golden: Path) -> None:
    def run(variables: Any, inputs: Any, train: bool) -> Any:
        return {"y": attention.create("danet_pam").apply(variables, inputs["x"], train=train)}, {}

    check(golden, "seg_danet_pam", mechanism_table("danet_pam"), run, of_map)


def test_unet_with_scse_equals_the_reference(golden: Path) -> None:
    slot = Slot("scse", "neck", (), (("combine", "add"), ("reduction", 16)))

    def run(variables: Any, inputs: Any, train: bool) -> Any:
        head = Decoder(
            num_classes=1,
            widths=(24, 16, 16),
            neck=slot,
            strides=(("stem", 2), ("stage1", 4), ("stage2", 8)),
        )
        names = ("image", "stem", "stage1", "stage2")
        maps = dict(zip(names, inputs.values(), strict=True))
        y, new = head.apply(variables, maps, train, mutable=["batch_stats"])
        return {"y": y}, new

    def counts(inputs: Arrays, path: str) -> int:
        x = inputs[f"x_f{3 - int(path[len('block')])}"]  # what gives the block its size
        return x.shape[0] * x.shape[1] * x.shape[2]

    def block(number: int) -> Table:
        torch, ours = rf"blocks\.{number}\.", f"block{number + 1}_"
        first = gate(rf"{torch}attention1\.attention", f"{ours}first", "scse")
        unused = tuple(
            Skip(rf"{torch}attention1\.attention\.{layer}\.(weight|bias)")
            for layer in (r"cSE\.1", r"cSE\.3", r"sSE\.0")
        )
        return (
            *pair(f"{torch}conv1", f"{ours}conv1"),
            *pair(f"{torch}conv2", f"{ours}conv2"),
            *(unused if number == 2 else first),
            *gate(rf"{torch}attention2\.attention", f"{ours}second", "scse"),
        )

    table = (*block(0), *block(1), *block(2))
    check(golden, "seg_smp_unet_scse", table, run, counts)


def test_fpn_equals_the_reference(golden: Path) -> None:
    def run(variables: Any, inputs: Any, train: bool) -> Any:
        head = FPN(num_classes=2, pyramid_width=12, width=32, align_corners=True)
        maps = {f"stage{i}": inputs[f"x_c{i + 1}"] for i in range(1, 5)}
        size = (64, 64)
        return {"y": head.apply(variables, maps, size=size, drop=keep, train=train)}, {}

    blocks = (
        Rule(
            rf"decoder\.seg_blocks\.{4 - level}\.block\.{number}\.block\.{which}",
            f"level{level}_{number + 1}_{kind}",
        )
        for level in range(1, 5)
        for number in range(3)
        for which, kind in enumerate(("conv", "norm"))
    )
    table = (
        Rule(r"segmentation_head\.0", "logits"),
        Rule(r"decoder\.p5", "lateral4"),
        *(Rule(rf"decoder\.p{i + 1}\.skip_conv", f"lateral{i}") for i in range(1, 4)),
        *blocks,
    )
    check(golden, "seg_smp_fpn", table, run, of_map)


# A network of each kind, the strides of the maps that heads look at, and the size of pictures to try.
KINDS = {
    "resnet18": ((4, 8, 16, 32), (45, 60)),
    "resnet8": ((1, 2, 4), (90, 72)),
    "vovnet39a": ((4, 8, 16, 32), (90, 72)),
    "efficientnet_b0": ((4, 8, 16, 32), (1, 1)),
}
DENSE = ("fpn", "bisenet", "encnet", "danet", "unet")


def network(kind: str, head: str) -> models.Network:
    """With one block a stage."""
    model = models.create(kind, num_classes=5, head=head)
    if isinstance(model, models.InvertedResidualNet):
        return model.clone(groups=tuple((rows[0]._replace(blocks=1),) for rows in model.groups))
    return model.clone(layers=(1,) * len(model.depths))


def in_training(model: models.Network, size: tuple[int, int]) -> Any:
    """Outputs in training, and all variables, by shapes alone."""

    def run(x: jax.Array) -> Any:
        rngs = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
        (y, _), variables = model.apply({}, x, train=True, mutable=True, rngs=rngs)
        return y, variables["params"][model.head]

    return jax.eval_shape(run, jax.ShapeDtypeStruct((2, *size, 3), jnp.float32))


@pytest.mark.usefixtures("traced_quickly")
@pytest.mark.parametrize("kind", KINDS)
def test_logits_have_the_size_of_the_pictures_whatever_the_backbone(kind: str) -> None:
    strides, size = KINDS[kind]
    for head in DENSE:
        model = network(kind, head)
        y, params = in_training(model, size)
        for logits in jax.tree.leaves(y):
            assert (logits.shape, logits.dtype) == ((2, *size, 5), jnp.float32), head
        assert isinstance(y, WithAuxiliary) == model.has_auxiliary == (head not in ("fpn", "unet"))
        if head == "encnet":  # an evaluation, of another size
            x = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
            variables = jax.eval_shape(model.init, jax.random.key(0), x)
            made = jax.tree.map(lambda leaf: leaf.shape, variables["params"][head])
            assert made == jax.tree.map(lambda leaf: leaf.shape, params)
            assert jax.eval_shape(model.apply, variables, x)[0].shape == (1, 64, 64, 5)
    assert tuple(stride for _, stride in levels(tuple(model.strides.items()))) == strides
    x = jax.ShapeDtypeStruct((1, 90, 72, 3), jnp.float32)
    endpoints = jax.eval_shape(model.backbone().init_with_output, jax.random.key(0), x)[0][1]
    for name, stride in model.strides.items():
        assert abs(endpoints[name].shape[1] - 90 / stride) < 1, name


@pytest.mark.parametrize("head", ["fpn", "encnet"])
def test_the_page_has_the_costs_of_the_heads(head: str) -> None:
    used, further, macs = costs_of_head(head, "resnet18", (360, 480), 11)
    row = f"| `{head}` | {used:,} | {further:,} | {macs / 1e9:.2f} |"
    assert row in (ROOT / "docs" / "segmentation.md").read_text()


@pytest.mark.usefixtures("traced_quickly")
@pytest.mark.parametrize("head", DENSE)
def test_the_width_of_a_head_is_chosen_and_changes_no_name(head: str) -> None:
    model = models.create("resnet8", num_classes=5, head=head)
    own, narrow = (
        flatten_dict(in_training(m, (24, 16))[1], sep="/")
        for m in (model, model.clone(head_width=32))
    )
    assert own.keys() == narrow.keys()
    assert sum(x.size for x in own.values()) != sum(x.size for x in narrow.values())


def test_a_width_that_a_head_cannot_have_is_refused() -> None:
    for head, width, message in (
        (
            "classifier",
            64,
            "the head classifier has no width.*head_width at 0.*bisenet, danet, encnet, fcos, fpn.*, unet",
        ),
        ("", 64, "a network without a head has no width"),
        ("fpn", 40, "head fpn cannot be 40 wide: model.head_width must be a multiple of 32"),
        ("bisenet", 3, "head bisenet cannot be 3 wide.*multiple of 2"),
    ):
        with pytest.raises(UsageError, match=message):
            models.create("resnet8", num_classes=5, head=head, head_width=width)
    model = models.create("resnet8", num_classes=5, head="bisenet")
    with pytest.raises(UsageError, match="bisenet needs a backbone of three stages"):
        model.clone(layers=(1, 1), planes=(16, 32))


@pytest.mark.parametrize("name", DENSE)
def test_a_step_of_training_has_finite_gradients_in_every_layer(name: str) -> None:
    count = 1 if name == "bisenet" else 2  # norms of global means see a single value then
    rng = np.random.default_rng(0)
    strides = (("stage1", 1), ("stage2", 2), ("stage3", 4))
    endpoints = {
        endpoint: jnp.asarray(
            rng.normal(size=(count, -(-13 // s), -(-10 // s), channels)), jnp.float32
        )
        for (endpoint, s), channels in zip((("image", 1), *strides), (3, 8, 12, 16), strict=True)
    }
    label_map = rng.integers(-1, 5, (count, 13, 10))
    label_map[1:] = -1  # a picture without any class
    batch = {"label_map": jnp.asarray(label_map), "mask": jnp.ones(count)}
    head = heads.create(
        name,
        num_classes=5,
        dtype=jnp.float32,
        param_dtype=jnp.float32,
        width=32,
        neck=Slot("eca", "neck") if name in ("fpn", "unet") else None,
        strides=strides,
    )
    told = {"size": (13, 10), "drop": keep}
    shapes = jax.eval_shape(lambda: head.init(jax.random.key(0), endpoints, **told, train=False))
    variables = random_like(shapes)
    task = Segmentation()

    @jax.jit
    def step(params: Any, endpoints: Any) -> Any:
        def loss(params: Any, endpoints: Any) -> Any:
            collections = ["batch_stats", "presence"]
            state = variables | {"params": params}
            y, sown = head.apply(state, endpoints, **told, train=True, mutable=collections)
            terms, weights = task.loss(y, batch), task.weights(batch)
            extra = task.extra_losses(sown, batch)
            total = sum(terms[term] / weights[term] for term in terms)
            return total + sum(value for value, _ in extra.values()), (terms, extra)

        return jax.grad(loss, argnums=(0, 1), has_aux=True)(params, endpoints)

    gradients, (terms, extra) = step(variables["params"], endpoints)
    assert terms.keys() == {"loss", *(["auxiliary"] if heads.has_auxiliary(name) else [])}
    assert extra.keys() == ({"presence"} if name == "encnet" else set())
    assert all(np.isfinite(d).all() for d in jax.tree.leaves(gradients))
    flat = flatten_dict(gradients[0], sep="/")
    silent = [path for path, d in flat.items() if not np.any(np.abs(d) > 1e-9)]
    # In front of a norm that sees a single value, and the same for a whole row of a softmax.
    allowed = r"(refine\d+_attention/mix/(dense/kernel|norm/scale)|mean/(conv/kernel|bn/scale))"
    allowed += "|position_attention/key/bias"
    assert not [path for path in silent if not re.fullmatch(allowed, path)], silent
