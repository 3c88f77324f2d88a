"""Assignment, losses and post-processing of detection against torchvision's."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import parity
import pytest
from head_parity import check

from chanattn import models
from chanattn.interop.names.networks import network_table
from chanattn.interop.names.rules import Part
from chanattn.models.heads import Levels
from chanattn.tasks import boxes
from chanattn.tasks.assignment import BACKGROUND, Grid, Objects, assign, centerness
from chanattn.tasks.detection import Detection, focal, joined
from chanattn.tasks.nms import suppress
from tests.models.test_detector import head_table, pyramid_table


def centre(anchors: np.ndarray) -> np.ndarray:
    return (anchors[:, :2] + anchors[:, 2:]) / 2


def grid_of(anchors: np.ndarray, sizes: Any) -> Grid:
    """torchvision's locations: its anchors' centres; levels are for 4 to 8 strides."""
    stride = (anchors[:, 2] - anchors[:, 0]).astype(np.float32)
    least, most = 4 * stride, 8 * stride
    least[: sizes[0]], most[len(most) - sizes[-1] :] = 0, np.inf
    return Grid(centre(anchors), stride, least, most)


def objects_of(corners: np.ndarray, label: np.ndarray | None = None, most: int = 16) -> Objects:
    """Padded by what must not matter; without labels the objects are numbered."""
    count = len(corners)
    padded = np.full((most, 4), np.nan, np.float32)
    padded[:count] = corners
    labels = np.full(most, -1, np.int32)
    labels[:count] = np.arange(count) if label is None else label
    crowd = np.arange(most) >= count
    return Objects(*map(jax.device_put, (padded, labels, crowd)))


@partial(jax.jit, static_argnames=("radius", "closed"))
def assigned(objects: Objects, grid: Grid, *, radius: float, closed: bool) -> Any:
    """`assign`, as one program."""
    return assign(objects, grid, radius=radius, closed=closed)


def level(x: Any) -> tuple[jax.Array]:
    """(N, P, C) as if there were one level."""
    return (x[:, :, None],)


@pytest.mark.parametrize(
    ("case", "alpha", "gamma"),
    [("a25_g2", 0.25, 2), ("noalpha_g1_5", -1, 1.5), ("a75_g0", 0.75, 0)],
)
def test_the_focal_loss_equals_the_reference(
    golden: Path, case: str, alpha: float, gamma: float
) -> None:
    arrays = parity.load(golden / "tasks" / "det_focal.npz")

    def total(x: jax.Array) -> Any:
        y = focal(x, arrays["target"], alpha, gamma)
        return (y * arrays["g"]).sum(), y

    dx, y = jax.jit(jax.grad(total, has_aux=True))(arrays["x"])
    parity.assert_close(y, arrays[f"y_{case}"], parity.OUTPUT, "y")
    parity.assert_close(dx, arrays[f"dx_{case}"], parity.GRADIENT, "dx")


def test_boxes_have_the_overlaps_of_the_reference(golden: Path) -> None:
    arrays = parity.load(golden / "tasks" / "det_box_ops.npz")
    a, b, degenerate = (arrays[name] for name in ("a", "b", "degenerate"))
    for compiled in (lambda f: f, jax.jit):  # of NumPy's arrays and of JAX's
        area, iou, giou, clip = map(compiled, (boxes.area, boxes.iou, boxes.giou, boxes.clip))
        for ours, name in (
            (area(a), "y_area"),
            (iou(a[:, None], b[None]), "y_iou"),
            (giou(a[:, None], b[None]), "y_giou"),
            (clip(arrays["outside"], np.float32([0.0, 0.0, 80.0, 64.0])), "y_clip"),
            (1 - np.asarray(giou(degenerate, degenerate[::-1])), "y_giou_loss_degenerate"),
        ):
            parity.assert_close(ours, arrays[name], parity.OUTPUT, name)
        with np.errstate(invalid="ignore"):
            own = iou(degenerate[:, None], degenerate[None])
        np.testing.assert_allclose(own, arrays["y_iou_degenerate"], rtol=1e-6)
        assert np.isfinite(iou(degenerate, degenerate, boxes.EPSILON)).all()

    def loss(a: jax.Array) -> jax.Array:
        return (arrays["g"] * (1 - boxes.giou(a, jnp.asarray(arrays["b"][:12])))).sum()

    da = jax.jit(jax.grad(loss))(arrays["a"])
    parity.assert_close(da[4:], arrays["da_giou"][4:], parity.GRADIENT, "da")  # no kinks there


def test_distances_and_boxes_are_those_of_the_reference(golden: Path) -> None:
    arrays = parity.load(golden / "tasks" / "det_box_coder.npz")
    for xp in (np, jnp):
        points = xp.asarray(centre(arrays["anchors"]))
        ours = boxes.to_distances(points, xp.asarray(arrays["boxes"]))
        parity.assert_close(ours, arrays["y_encoded_pixels"], parity.OUTPUT, "distances")
        ours = boxes.from_distances(points, xp.asarray(arrays["codes"]))
        parity.assert_close(ours, arrays["y_decoded_pixels"], parity.OUTPUT, "boxes")


def test_locations_lie_where_those_of_the_reference_lie(golden: Path) -> None:
    strides, ranges = (8, 16, 32, 64, 128), (64, 128, 256, 512)
    arrays = parity.load(golden / "tasks" / "det_anchors.npz")
    grid = Grid.of((256, 384), strides, ranges, centered=False)
    np.testing.assert_array_equal(grid.points, arrays["y_points_256x384"])
    sizes = arrays["grid_256x384"].prod(axis=1)
    np.testing.assert_array_equal(grid.stride, np.repeat(strides, sizes))
    np.testing.assert_array_equal(grid.most, np.repeat((*ranges, np.inf), sizes))
    arrays = parity.load(golden / "tasks" / "det_fcos_assign_offset.npz")
    grid = Grid.of((128, 192), strides, ranges)
    # torchvision lays the single point of the last level between picture sizes // map sizes.
    np.testing.assert_array_equal(grid.points[:-2], centre(arrays["anchors"])[:-2])


@pytest.mark.parametrize("file", ["det_fcos_assign", "det_fcos_assign_offset"])
def test_locations_take_the_objects_of_the_reference(golden: Path, file: str) -> None:
    arrays = parity.load(golden / "tasks" / f"{file}.npz")
    grid = grid_of(arrays["anchors"], arrays["level_sizes"])
    for radius, name in ((1.5, "r1_5"), (0, "inside")):
        for number in range(4):
            objects = objects_of(arrays[f"boxes_{number}"])
            label, distances = assigned(objects, grid, radius=radius, closed=False)
            wanted = arrays[f"y_matched_{name}_{number}"]
            np.testing.assert_array_equal(label, np.where(wanted < 0, BACKGROUND, wanted))
            if number < 3:  # away from the limits both rules agree
                closed, _ = assigned(objects, grid, radius=radius, closed=True)
                np.testing.assert_array_equal(closed, label)
            if f"y_regression_{number}" in arrays and radius:
                taken = np.asarray(label) >= 0
                sides = np.asarray(distances)[taken]
                own = sides / grid.stride[taken, None]
                parity.assert_close(own, arrays[f"y_regression_{number}"], parity.OUTPUT, "sides")
                target = jax.jit(centerness)(sides)
                parity.assert_close(target, arrays[f"y_centerness_{number}"], parity.OUTPUT, "c")


def test_a_side_at_a_limit_is_of_both_levels_or_of_none() -> None:
    grid = Grid(
        np.float32([[64, 50]] * 2), np.float32([8, 16]), np.float32([0, 64]), np.float32([64, 128])
    )
    objects = objects_of(np.float32([[0, 40, 128, 60]]))  # 64 pixels to the left and to the right
    for closed, wanted in ((True, [0, 0]), (False, [BACKGROUND] * 2)):
        label, distances = assigned(objects, grid, radius=1.5, closed=closed)
        np.testing.assert_array_equal(label, wanted)
        np.testing.assert_array_equal(distances[0], [64, 10, 64, 10] if closed else [0] * 4)


def test_of_several_objects_the_smaller_is_taken_and_of_equal_ones_the_first(golden: Path) -> None:
    arrays = parity.load(golden / "tasks" / "det_fcos_assign_ties.npz")
    grid = grid_of(arrays["anchors"], arrays["level_sizes"])
    for number in range(3):
        objects = objects_of(arrays[f"boxes_{number}"])
        label, _ = assigned(objects, grid, radius=1.5, closed=False)
        wanted = arrays[f"y_matched_{number}"]
        if number == 0:
            # torchvision cannot tell 1597.5 from 1600, and takes the larger; so where both are possible it
            # differs, and nowhere else.
            alone = [
                assigned(objects_of(arrays["boxes_0"][[i]]), grid, radius=1.5, closed=False)[0] == 0
                for i in range(2)
            ]
            wanted = np.where(alone[1], 1, wanted)
            assert (alone[0] & alone[1]).any()
        np.testing.assert_array_equal(label, wanted)


@pytest.mark.parametrize("preset", ["fcos", "torchvision"])
@pytest.mark.parametrize("nothing", [False, True])
def test_the_losses_equal_the_reference(golden: Path, preset: str, nothing: bool) -> None:
    arrays = parity.load(golden / "tasks" / "det_fcos_losses.npz")
    grid = grid_of(arrays["anchors"], arrays["level_sizes"])
    task = Detection(preset=preset)
    targets = []
    for i in range(4):
        given = (
            (arrays[f"boxes_{i}"], arrays[f"labels_{i}"]) if not nothing else (np.zeros((0, 4)), [])
        )
        targets.append(assigned(objects_of(*given), grid, radius=1.5, closed=False))
    label, distances = (jax.device_put(np.stack(each)) for each in zip(*targets, strict=True))
    batch = {"location_label": label, "location_distances": distances}

    def losses(x: dict[str, jax.Array]) -> Any:
        reach = x["reg"] * grid.stride[:, None]
        terms = task.loss(Levels(level(x["cls"]), level(reach), level(x["ctr"])), batch)
        weights = task.weights(batch)
        terms = {name: term / weights[name] for name, term in terms.items()}
        return sum(terms.values()), terms

    x = {name: arrays[f"x_{name}"] for name in ("cls", "reg", "ctr")}
    dx, terms = jax.jit(jax.grad(losses, has_aux=True))(x)
    suffix = "_none" if nothing else ""
    weighted = preset == "fcos" and not nothing
    for name, file, key in (
        ("classification", "y_classification", "cls"),
        ("box", "y_bbox_weighted" if weighted else "y_bbox_regression", "reg"),
        ("centerness", "y_bbox_ctrness", "ctr"),
    ):
        wanted = arrays[file + ("" if weighted and name == "box" else suffix)]
        parity.assert_close(terms[name], wanted, parity.OUTPUT, name)
        wanted = arrays[f"dx_{key}_weighted" if weighted and key == "reg" else f"dx_{key}{suffix}"]
        parity.assert_close(dx[key], wanted, parity.GRADIENT, key)


def test_suppression_keeps_what_the_reference_keeps(golden: Path) -> None:
    arrays = parity.load(golden / "tasks" / "det_nms.npz")

    @jax.jit
    def suppressed(corners: Any, scores: Any, label: Any, threshold: Any) -> jax.Array:
        return suppress(corners, scores, label, threshold=threshold, most=len(scores))

    for prefix, thresholds in (("", (0.3, 0.5, 0.7)), ("edge_", (0.5, 0.65))):
        corners, scores, classes = (
            arrays[f"{prefix}{name}"] for name in ("boxes", "scores", "classes")
        )
        for threshold in thresholds:
            for kind, label in (("nms", np.zeros_like(classes)), ("batched", classes)):
                kept = suppressed(corners, scores, label, threshold)
                wanted = arrays[f"y_{prefix}{kind}_{threshold}".replace(".", "_")]
                np.testing.assert_array_equal(kept[: len(wanted)], wanted)
                assert (kept[len(wanted) :] == -1).all()


def test_detections_are_those_of_the_reference(golden: Path) -> None:
    arrays = parity.load(golden / "tasks" / "det_fcos_postprocess.npz")
    sizes, ends = arrays["level_sizes"], np.cumsum(arrays["level_sizes"])[:-1]
    grid = grid_of(arrays["anchors"], sizes)
    task = Detection(
        preset="torchvision", score_threshold=0.4, nms_threshold=0.5, candidates=45, detections=60
    )

    def levels(x: np.ndarray) -> tuple[Any, ...]:
        return tuple(part[:, :, None] for part in np.split(x, ends, axis=1))

    reach = arrays["x_reg"] * grid.stride[:, None]
    outputs = Levels(levels(arrays["x_cls"]), levels(reach), levels(arrays["x_ctr"]))
    task = dataclasses.replace(task, detections=50)
    heights, widths = np.float32(arrays["image_shapes"]).T
    extents = np.stack([0 * widths, 0 * heights, widths, heights], axis=1)
    detect = jax.jit(jax.vmap(lambda each, extent: task.detect(each, grid, extent)))
    found = jax.tree.map(np.asarray, detect(outputs, extents))
    for i in range(3):
        wanted = arrays[f"y_labels_{i}"]
        np.testing.assert_array_equal(found.label[i, : len(wanted)], wanted)
        parity.assert_close(found.score[i, : len(wanted)], arrays[f"y_scores_{i}"], 1e-6, "score")
        parity.assert_close(found.boxes[i, : len(wanted)], arrays[f"y_boxes_{i}"], 1e-6, "boxes")
        assert (found.label[i, len(wanted) :] == -1).all()
        assert not found.score[i, len(wanted) :].any()


def test_a_whole_detector_equals_the_reference(golden: Path) -> None:
    task = Detection(preset="torchvision", tower=1, norm_groups=4)
    model = models.create(
        "resnet50", num_classes=3, head="fcos", head_width=16, head_options=task.head_options()
    ).clone(layers=(1, 1, 1, 1), planes=(2, 4, 8, 16), zero_init_residual=False)
    file = parity.load(golden / "tasks" / "det_fcos_net.npz")

    def run(variables: Any, inputs: Any, train: bool) -> Any:
        x, suffix = inputs["x"], "_train" if train else ""
        (outputs, _), new = model.apply(variables, x, train=train, mutable=["batch_stats"])
        # The anchors of so small pictures lie apart by picture size // map size, and not by the stride.
        grid = grid_of(file[f"y_anchors{suffix}"], [x.shape[1] // 8 * x.shape[2] // 8, 1])
        of = file[f"box_image{suffix}"]
        targets = []
        for i in range(len(x)):
            given = (file[f"{name}{suffix}"][of == i] for name in ("boxes", "labels"))
            targets.append(assigned(objects_of(*given), grid, radius=1.5, closed=False))
        label, distances = map(jnp.stack, zip(*targets, strict=True))
        batch = {"location_label": label, "location_distances": distances}
        terms, weights = task.loss(outputs, batch), task.weights(batch)
        cls, reg, ctr = (terms[name] / weights[name] for name in task.terms)
        y = {"y_loss_cls": cls, "y_loss_reg": reg, "y_loss_ctr": ctr, "y_loss": cls + reg + ctr}
        y["y_anchors"] = jnp.asarray(file[f"y_anchors{suffix}"])
        if not train:
            y["y_cls"], y["y_ctr"] = joined(outputs.logits), joined(outputs.centerness)
            y["y_reg"] = joined(outputs.distances) / grid.stride[:, None]
        return y, new

    table = (
        Part(r"backbone\.body\.", "", network_table(model)),
        *pyramid_table(r"backbone\.fpn\.", "fcos/pyramid/"),
        *head_table(1, r"head\.", "fcos/"),
    )

    def counts(inputs: Any, path: str) -> int:
        pictures, height, width, _ = inputs["x"].shape
        stage = path.removeprefix("stage")[0]
        stride = 2 if path.startswith("stem") else 2 ** (int(stage) + 1)
        if path.endswith("bn1") and stage in "234":  # before the stride of the block
            stride //= 2
        return pictures * height * width // stride**2

    check(golden, "det_fcos_net", table, run, counts)
