"""The feature pyramid and the head of FCOS against torchvision's, and on backbones."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from head_parity import check, keep
from members import random_like

from chanattn import models, tasks
from chanattn.config import get_config
from chanattn.errors import UsageError
from chanattn.interop.names.rules import Rule, Table
from chanattn.models import heads
from chanattn.models.heads import FCOS, FeaturePyramid, Levels
from chanattn.models.slots import Slot
from chanattn.tasks.detection import Detection, joined

LEAST = {"levels": (8, 16, 32), "tower": 1}


def pyramid_table(prefix: str = "", ours: str = "", maps: int = 3) -> Table:
    """torchvision's names to ours."""
    return tuple(
        Rule(rf"{prefix}{torch}", f"{ours}{name}")
        for number in range(maps)
        for torch, name in (
            (rf"inner_blocks\.{number}\.0", f"lateral{number + 1}"),
            (rf"layer_blocks\.{number}\.0", f"level{number + 1}"),
        )
    ) + tuple(
        Rule(rf"{prefix}extra_blocks\.p{number + 3}", f"{ours}level{number + 1}")
        for number in range(maps, maps + 2)
    )


def head_table(convolutions: int, prefix: str = "", ours: str = "") -> Table:
    """torchvision's names to ours."""
    towers = tuple(
        Rule(
            rf"{prefix}{tower}_head\.conv\.{3 * number + which}",
            f"{ours}{tower}{number + 1}_{kind}",
        )
        for tower in ("classification", "regression")
        for number in range(convolutions)
        for which, kind in enumerate(("conv", "norm"))
    )
    return (
        *towers,
        Rule(rf"{prefix}classification_head\.cls_logits", f"{ours}logits"),
        Rule(rf"{prefix}regression_head\.bbox_reg", f"{ours}distances"),
        Rule(rf"{prefix}regression_head\.bbox_ctrness", f"{ours}centerness"),
    )


class Predictor(FCOS):
    """Without the pyramid."""

    @nn.compact
    def __call__(self, maps: Any) -> Levels:  # type: ignore[override]
        return self.predict(maps, keep)


def no_norm(*_: Any) -> int:
    raise AssertionError


@pytest.mark.parametrize("source", ["p5", "c5"])
def test_the_pyramid_equals_the_reference(golden: Path, source: str) -> None:
    def run(variables: Any, inputs: Mapping[str, Any], train: bool) -> Any:
        head = FeaturePyramid(num_classes=1, width=12, source=source)
        levels = head.apply(variables, list(inputs.values()), train)
        return {f"y_p{number}": level for number, level in enumerate(levels, 3)}, {}

    check(golden, f"det_fpn_{source}", pyramid_table(), run, no_norm)


def test_the_towers_equal_the_reference(golden: Path) -> None:
    def run(variables: Any, inputs: Mapping[str, Any], train: bool) -> Any:
        head = Predictor(
            num_classes=4,
            width=32,
            tower=2,
            norm_groups=8,
            preset="torchvision",
            levels=(8, 16, 32),
        )
        levels = head.apply(variables, list(inputs.values()))
        return {
            "y_cls": joined(levels.logits),
            "y_reg": joined(
                tuple(x / s for x, s in zip(levels.distances, head.levels, strict=True))
            ),
            "y_ctr": joined(levels.centerness),
        }, {}

    check(golden, "det_fcos_head", head_table(2), run, no_norm)


def in_pixels(kind: str, levels: tuple[int, ...], preset: str, size: int = 64) -> Any:
    """A network, variables whose convolutions are not silent, and its outputs on a picture."""
    options = {"levels": levels, "tower": 1, "norm_groups": 4, "preset": preset}
    model = models.create(kind, num_classes=3, head="fcos", head_width=8, head_options=options)
    x = jax.random.normal(jax.random.key(0), (1, size, size, 3))
    variables = jax.jit(model.init)(jax.random.key(1), x)
    return model, variables, x


@pytest.mark.usefixtures("drawn_by_numpy")
def test_every_level_has_a_scale_of_its_own_and_torchvision_none() -> None:
    """relu(s x) times the stride: twice the scale is twice the distance, in that level alone."""
    model, variables, x = in_pixels("resnet8", (2, 4, 8), "fcos", 16)
    head = variables["params"]["fcos"]
    apply = jax.jit(model.apply)
    before = apply(variables, x)[0]
    changed = head | {"scale2": head["scale2"] * 2}
    after = apply(variables | {"params": variables["params"] | {"fcos": changed}}, x)[0]
    for level, factor in enumerate((1, 2, 1)):
        ours, other = after.distances[level], before.distances[level]
        np.testing.assert_allclose(ours, factor * other, rtol=1e-6)
        assert (other >= 0).all()
        assert other.max() > 0
    model, others, _ = in_pixels("resnet8", (2, 4, 8), "torchvision", 16)
    assert others["params"]["fcos"].keys() == {name for name in head if "scale" not in name}
    plain = jax.jit(model.apply)(others | {"params": variables["params"]}, x)[0]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), plain, before)


def test_a_class_has_the_prior_probability_at_the_start() -> None:
    model, variables, x = in_pixels("resnet8", (4,), "fcos", 16)
    logits = jax.jit(model.apply)(variables, x)[0].logits[0]
    np.testing.assert_allclose(jax.nn.sigmoid(logits), 0.01, rtol=0.3)
    with pytest.raises(
        UsageError, match="unknown preset 'retinanet' of the head fcos; valid: fcos, t"
    ):
        in_pixels("resnet8", (4,), "retinanet")


# What levels there are on a backbone: those from its own maps, and the coarser ones.
LEVELS = {
    "resnet18": ((8, 16, 32, 64, 128), 3),
    "vovnet39a": ((4, 8), 2),
    "resnet8": ((1, 2, 4, 8), 3),
    "efficientnet_b0": ((16, 32, 64), 2),
}


@pytest.mark.usefixtures("traced_quickly")
@pytest.mark.parametrize("size", [(90, 72), (1, 1), (33, 130)])
@pytest.mark.parametrize("kind", LEVELS)
def test_a_level_of_stride_s_has_a_location_every_s_pixels(
    kind: str, size: tuple[int, int]
) -> None:
    levels, own = LEVELS[kind]
    options = {"levels": levels, "tower": 1}
    model = models.create(kind, num_classes=5, head="fcos", head_width=32, head_options=options)
    x = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), x)
    y, _ = jax.eval_shape(model.apply, variables, x)
    for level, stride in enumerate(levels):
        rows, columns = (-(-side // stride) for side in size)
        for maps, channels in ((y.logits, 5), (y.distances, 4), (y.centerness, 1)):
            assert (maps[level].shape, maps[level].dtype) == (
                (2, rows, columns, channels),
                jnp.float32,
            )
    # As many as the task lays out.
    task = Detection(strides=levels, ranges=tuple(8 * s for s in levels[:-1]))
    batch = {"image": jnp.zeros((2, *size, 3)), "mask": jnp.ones(2)} | {
        name: jnp.zeros((2, 3, *more), dtype)
        for name, more, dtype in (
            ("boxes", (4,), jnp.float32),
            ("boxes_label", (), jnp.int32),
            ("boxes_crowd", (), bool),
        )
    }
    sums = jax.eval_shape(task.measure, y, batch)
    assert {pair[0].shape for pair in sums.values()} == {()}
    answers = jax.eval_shape(lambda y: task.predict(model, variables, y, batch), y)
    assert answers["detected"].shape == (2, 100, 4)
    pyramid = variables["params"]["fcos"]["pyramid"]
    assert sum(name.startswith("lateral") for name in pyramid) == own
    assert sum(name.startswith("level") for name in pyramid) == len(levels)


def test_levels_that_a_backbone_cannot_have_are_refused() -> None:
    for levels, message in (
        ((8, 16), r"finest level cannot have stride 8: .* strides 1, 2, 4; choose task.strides"),
        ((2, 8), r"task.strides must double from level to level, such as 8,16,32, not \(2, 8\)"),
        ((), "task.strides must double"),
    ):
        with pytest.raises(UsageError, match=message):
            models.create("resnet8", num_classes=3, head="fcos", head_options={"levels": levels})
    with pytest.raises(
        UsageError, match="fcos cannot be 40 wide.*multiple of 32 .task.norm_groups"
    ):
        models.create("resnet18", num_classes=3, head="fcos", head_width=40)
    with pytest.raises(UsageError, match="the head fpn has no option 'levels'"):
        models.create("resnet18", num_classes=3, head="fpn", head_options=LEAST)
    with pytest.raises(UsageError, match="a network without a head has no option 'levels'"):
        models.create("resnet18", num_classes=0, head="fcos", head_options=LEAST)


def test_the_config_of_the_task_decides_the_levels() -> None:
    config = get_config()
    config.task.name = "detection"
    config.model.update(name="resnet8", head_width=16)
    config.task.update(strides=(2, 4), ranges=(40.0,), tower=1, norm_groups=8, preset="torchvision")
    model = tasks.network(config, 3)
    assert model.head == "fcos"
    assert hash(model) == hash(tasks.network(config, 3))
    params = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 8, 8, 3)))["params"]
    names = flatten_dict(params["fcos"], sep="/")
    assert params["fcos"]["pyramid"].keys() == {"lateral1", "lateral2", "level1", "level2"}
    assert not any("scale1" in name for name in names)
    assert params["fcos"]["regression1_conv"]["kernel"].shape == (3, 3, 16, 16)
    config.task.strides = (8, 16)
    with pytest.raises(UsageError, match="finest level cannot have stride 8"):
        tasks.network(config, 3)


@pytest.mark.parametrize("preset", ["fcos", "torchvision"])
def test_a_step_of_training_has_finite_gradients_in_every_layer(preset: str) -> None:
    """Of a picture with an object for each level, and one without any."""
    task = Detection(preset=preset, strides=(2, 4, 8), ranges=(8.0, 16.0), tower=2, norm_groups=4)
    strides = (("stem", 1), ("stage1", 2), ("stage2", 4))
    rng = np.random.default_rng(0)
    size = (25, 30)
    endpoints = {
        name: jnp.asarray(rng.normal(size=(2, *(-(-side // s) for side in size), 8)), jnp.float32)
        for name, s in strides
    }
    head = heads.create(
        "fcos",
        num_classes=3,
        dtype=jnp.float32,
        param_dtype=jnp.float32,
        width=8,
        neck=Slot("eca", "neck"),
        strides=strides,
        options=tuple(task.head_options().items()),
    )
    corners = jnp.asarray([[2.0, 2, 10, 9], [10, 8, 28, 24], [0, 0, 30, 25], [0, 0, 0, 0]])
    batch = task.targets(
        {
            "image": jnp.zeros((2, *size, 3)),
            "mask": jnp.ones(2),
            "boxes": jnp.stack([corners, corners]),
            "boxes_label": jnp.asarray([[0, 1, 2, -1], [-1] * 4]),
            "boxes_crowd": jnp.zeros((2, 4), bool),
        }
    )
    told = {"size": size, "drop": keep, "train": True}
    shapes = jax.eval_shape(lambda: head.init(jax.random.key(0), endpoints, **told))
    variables = random_like(shapes)

    @jax.jit
    def step(params: Any, endpoints: Any) -> Any:
        def loss(params: Any, endpoints: Any) -> Any:
            terms = task.loss(head.apply(variables | {"params": params}, endpoints, **told), batch)
            return sum(terms[name] / task.weights(batch)[name] for name in terms)

        return jax.value_and_grad(loss, argnums=(0, 1))(params, endpoints)

    loss, gradients = step(variables["params"], endpoints)
    assert np.isfinite(loss)
    assert all(np.isfinite(d).all() for d in jax.tree.leaves(gradients))
    flat = flatten_dict(gradients[0], sep="/")
    assert [path for path, d in flat.items() if not np.any(np.abs(d) > 1e-9)] == []
    assert any(path.startswith("pyramid/lateral2_attention") for path in flat)


@pytest.mark.usefixtures("drawn_by_numpy")
def test_activations_are_of_the_type_of_the_network_and_outputs_float32() -> None:
    options = {"levels": (2, 4, 8), "tower": 1}
    model = models.create(
        "resnet8",
        num_classes=3,
        head="fcos",
        head_width=32,
        head_options=options,
        attention={"name": "se", "placement": "neck"},
    )
    x = jax.random.normal(jax.random.key(0), (2, 16, 24, 3))
    variables = jax.jit(model.init)(jax.random.key(1), x)
    half = model.clone(dtype=jnp.bfloat16)
    ours, _ = jax.jit(half.apply)(variables, x)
    wanted, _ = jax.jit(model.apply)(variables, x)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(wanted), strict=True):
        assert a.dtype == jnp.float32
        np.testing.assert_allclose(a, b, atol=0.05 * float(np.abs(b).max()) + 1e-3)
    text = jax.jit(half.apply).lower(variables, x).as_text()
    assert "tensor<2x8x12x32xbf16>" in text
