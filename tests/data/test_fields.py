"""Fields move with their pictures, on the host and in the jitted step; what they cannot hold is refused."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import parity
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chanattn.data.captions import Captions
from chanattn.data.decode import CorruptImage
from chanattn.data.fields import (
    Boxes,
    Label,
    Mask,
    Placement,
    StoredBoxes,
    WrongValue,
)
from chanattn.data.pipeline import training_batch
from chanattn.data.stored_boxes import sort_out
from chanattn.data.vocabulary import Vocabulary
from configs import base
from tests.data.test_decode import encode

MASK, BOXES = Mask(5, ignore=9), Boxes(3, most=4)
PLACEMENTS = st.builds(
    Placement,
    stored=st.just((7, 11)),
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    top=st.floats(-9, 9, width=16),
    left=st.floats(-9, 9, width=16),
    scale_y=st.floats(0.25, 4, width=16),
    scale_x=st.floats(0.25, 4, width=16),
    mirrored=st.booleans(),
)


def place(y: float, x: float, to: Placement) -> tuple[float, float]:
    """Where a point of the picture lies in the result: the definition, point by point."""
    y, x = (y - to.top) * to.scale_y, (x - to.left) * to.scale_x
    return y, to.size[1] - x if to.mirrored else x


def traced(kind, parts, to: Placement):
    """What `move` gives inside `jit` and under `vmap`, for a batch of one."""

    def move(parts, numbers):
        return kind.move(parts, Placement(to.stored, to.size, *numbers))

    batch = jax.tree.map(lambda value: jnp.asarray(value)[None], (parts, to[2:]))
    return jax.tree.map(lambda value: np.asarray(value[0]), jax.jit(jax.vmap(move))(*batch))


@given(PLACEMENTS, st.integers(0, 1000))
def test_a_label_map_takes_the_nearest_pixel_and_no_value_that_was_not_there(to, seed):
    labels = np.random.default_rng(seed).choice([0, 1, 2, 3, 4, 9], to.stored).astype(np.uint8)
    (moved,) = MASK.load(labels, to).values()
    assert moved.shape == to.size
    assert moved.dtype == np.int8
    labels = np.where(labels == 9, -1, labels.astype(int))
    assert set(np.unique(moved)) <= {*np.unique(labels), -1}
    for i, j in itertools.product(*map(range, to.size)):
        centre = to.size[1] - j - 0.5 if to.mirrored else j + 0.5
        y, x = (i + 0.5) / to.scale_y + to.top, centre / to.scale_x + to.left
        inside = 0 <= y < to.stored[0] and 0 <= x < to.stored[1]
        assert moved[i, j] == (labels[int(y), int(x)] if inside else -1)


@given(PLACEMENTS, st.integers(0, 1000))
def test_boxes_are_moved_cut_and_dropped_by_the_rule(to, seed):
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, [9, 5], (4, 2))
    corners = np.concatenate([low, low + rng.uniform(0.2, [11, 7], (4, 2))], 1)
    crowd = rng.random(4) < 0.5
    stored = StoredBoxes(corners, [0, 1, 2, 0], crowd, area=[7, 8, 0, 9])
    moved, label, found_crowd, area = BOXES.load(stored, to).values()
    cut = np.clip(corners, 0, [11, 7, 11, 7])
    for i, (x0, y0, x1, y1) in enumerate(cut):
        (top, left), (bottom, right) = place(y0, x0, to), place(y1, x1, to)
        left, right = sorted([left, right])
        height, width = to.size
        seen = np.clip([left, top, right, bottom], 0, [width, height, width, height])
        sides = seen[2:] - seen[:2]
        share = sides.prod() / ((right - left) * (bottom - top))
        if abs(share - 0.3) < 1e-3 or (abs(sides - 2) < 1e-3).any() or 1 - 1e-3 < share < 1:
            continue  # the rule decides by a rounding
        kept = share >= 1 - 1e-3 or (sides.min() >= 2 and (crowd[i] or share >= 0.3))
        assert label[i] == ([0, 1, 2, 0][i] if kept else -1)
        assert found_crowd[i] == (kept and crowd[i])
        own = (x1 - x0) * (y1 - y0)
        np.testing.assert_allclose(area[i], [7, 8, own, 9][i] if kept else 0, rtol=1e-4)
        np.testing.assert_allclose(moved[i], seen if kept else 0, atol=1e-3)
        assert not kept or (moved[i, 2:] > moved[i, :2]).all()


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("top", [-2.0, 0.0, 3.0])
def test_jax_moves_as_numpy_does(top, mirrored):
    to = Placement((7, 11), (9, 8), top, 1.0, 1.5, 0.5, mirrored)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, to.stored).astype(MASK.arrays(to.size)[""].dtype)
    low = rng.uniform(0, 4, (4, 2))
    boxes = {
        "": np.concatenate([low, low + 5], 1).astype(np.float32),
        "_label": np.array([0, 1, -1, 2], np.int32),
        "_crowd": np.array([False, True, False, False]),
        "_area": np.array([1, 2, np.inf, 3], np.float32),
    }
    boxes[""][2] = np.nan, np.inf, -np.inf, np.nan  # padding may hold anything
    for kind, parts in ((MASK, {"": labels}), (BOXES, boxes)):
        expected, found = kind.move(parts, to), traced(kind, parts, to)
        assert expected.keys() == found.keys()
        for name, value in expected.items():
            assert found[name].dtype == value.dtype
            np.testing.assert_allclose(found[name], value, rtol=1e-6)
    found = traced(BOXES, boxes, to)
    assert (found[""][2] == 0).all()
    assert found["_area"][2] == 0


def test_a_filled_box_in_a_label_map_stays_below_its_box():
    to = Placement((40, 60), (50, 50), 3.0, -4.0, 1.5, 0.75, True)
    labels = np.zeros(to.stored, np.uint8)
    labels[10:30, 20:45] = 1
    (moved,) = Mask(2, 255).load(labels, to).values()
    corners = BOXES.load(StoredBoxes([[20, 10, 45, 30]], [0]), to)[""][0]
    rows, columns = np.flatnonzero((moved == 1).any(1)), np.flatnonzero((moved == 1).any(0))
    edges = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    np.testing.assert_allclose(corners, edges, atol=0.5)


def test_boxes_in_fractions_become_pixels_and_those_without_area_are_left_out():
    to = Placement((10, 20), (10, 20))
    corners = [[0.1, 0.2, 0.5, 0.6], [0.3, 0.3, 0.3, 0.9], [0, 0, 1, 1]]
    parts = BOXES.load(StoredBoxes(corners, [1, 2, 0], [True, False, False], relative=True), to)
    np.testing.assert_allclose(parts[""][:2], [[2, 2, 10, 6], [0, 0, 20, 10]], rtol=1e-6)
    np.testing.assert_array_equal(parts["_label"], [1, 0, -1, -1])
    np.testing.assert_array_equal(parts["_crowd"], [True, False, False, False])
    nothing = BOXES.load(StoredBoxes(np.zeros((0, 4)), []), to)
    np.testing.assert_array_equal(nothing["_label"], [-1] * 4)


def placements(arrays, case, name):
    """What torchvision did, as placements: new height and width, the corner, and height and width."""
    height, width, top, left, *size = arrays[f"{case}:parameters_{name}"].tolist()
    stored = (23, 31) if case == "scale_crop" else tuple(map(int, name.split("x")))
    scale = height / stored[0], width / stored[1]
    if case == "letterbox":  # where the picture lies in the result, rather than the other way round
        top, left = -top, -left
    return Placement(stored, tuple(size), top / scale[0], left / scale[1], *scale)


def moved_boxes(corners, to):
    parts = Boxes(1, len(corners)).load(StoredBoxes(corners, [0] * len(corners)), to)
    return parts[""], parts["_label"] == 0


@pytest.mark.parametrize("name", ["12x17", "10x14"])
def test_boxes_are_mirrored_as_by_torchvision(golden, name):
    arrays = parity.load(golden / "tasks" / "aug_boxes.npz")
    size = tuple(map(int, name.split("x")))
    found, kept = moved_boxes(arrays[f"hflip:boxes_{name}"], Placement(size, size, mirrored=True))
    assert kept.all()
    np.testing.assert_allclose(found, arrays[f"hflip:y_boxes_{name}"], atol=1e-5)


@pytest.mark.parametrize("name", ["19x30", "27x14", "50x41"])
def test_boxes_go_into_a_letterbox_and_back_as_by_torchvision(golden, name):
    arrays = parity.load(golden / "tasks" / "aug_boxes.npz")
    stored, to = arrays[f"letterbox:boxes_{name}"], placements(arrays, "letterbox", name)
    found, kept = moved_boxes(stored, to)
    assert kept.all()
    np.testing.assert_allclose(found, arrays[f"letterbox:y_boxes_{name}"], atol=1e-4)
    back = to.corners_back(found)
    np.testing.assert_allclose(back, arrays[f"letterbox:y_boxes_back_{name}"], atol=1e-4)


@pytest.mark.parametrize("name", ["in", "out", "mixed"])
def test_boxes_are_scaled_and_cropped_as_by_torchvision_but_kept_by_what_is_visible(golden, name):
    arrays = parity.load(golden / "tasks" / "aug_boxes.npz")
    to = placements(arrays, "scale_crop", name)
    found, kept = moved_boxes(arrays["scale_crop:boxes"], to)
    whole = arrays[f"scale_crop:y_boxes_unclipped_{name}"]
    cut = np.clip(whole, 0, to.size[::-1] * 2)
    sides, of_whole = cut[:, 2:] - cut[:, :2], whole[:, 2:] - whole[:, :2]
    visible = sides.prod(axis=1) / of_whole.prod(axis=1)
    # What is wanted is that enough is seen; the reference asks for the centre or for a pixel.
    expected = (visible > 1 - 1e-6) | ((visible >= 0.3) & (sides >= 2).all(axis=1))
    np.testing.assert_array_equal(kept, expected)
    np.testing.assert_allclose(found[kept], cut[kept], atol=1e-4)
    by_centre = arrays[f"scale_crop:y_keep_{name}"]
    np.testing.assert_allclose(cut[by_centre], arrays[f"scale_crop:y_boxes_{name}"], atol=1e-4)


@given(PLACEMENTS, st.integers(0, 1000))
def test_what_padding_rows_hold_changes_nothing(to, seed):
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, [9, 5], (2, 2))
    boxes = np.concatenate([low, low + rng.uniform(0.2, [9, 6], (2, 2))], 1)
    clean = BOXES.load(StoredBoxes(boxes, [0, 2], [True, False]), Placement(to.stored, to.stored))
    dirty = {name: np.array(value) for name, value in clean.items()}
    strange = np.array([np.nan, np.inf, -np.inf, 1e30], np.float32)
    dirty[""][2:] = rng.choice(strange, (2, 4))
    dirty["_area"][2:] = rng.choice(strange, 2)
    dirty["_crowd"][2:] = rng.random(2) < 0.5
    for name, value in BOXES.move(clean, to).items():
        np.testing.assert_array_equal(BOXES.move(dirty, to)[name], value)


@given(PLACEMENTS, st.integers(0, 1000))
def test_boxes_go_back_to_where_they_came_from(to, seed):
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, [9, 5], (4, 2))
    corners = np.concatenate([low, low + rng.uniform(0.2, [2, 2], (4, 2))], 1)
    parts = BOXES.load(StoredBoxes(corners, [0, 1, 2, 0]), to)
    (top, left), (bottom, right) = place(0, 0, to), place(*to.stored, to)
    whole = min(top, left, right) >= 0 and bottom <= to.size[0] and max(left, right) <= to.size[1]
    kept = parts["_label"] >= 0
    back = to.corners_back(parts[""])
    if whole:
        assert kept.all()
        np.testing.assert_allclose(back, corners, atol=1e-3)
    assert (back[kept] >= corners[kept] - 1e-3)[:, :2].all()
    assert (back[kept] <= corners[kept] + 1e-3)[:, 2:].all()


def test_a_small_box_that_is_whole_is_kept_for_the_evaluation():
    to = Placement((10, 10), (5, 5), scale_y=0.5, scale_x=0.5)
    assert BOXES.load(StoredBoxes([[4, 4, 5, 5]], [2]), to)["_label"][0] == 2
    # What the annotation draws beyond the picture is none of the object, and rounding cuts nothing off.
    assert BOXES.load(StoredBoxes([[9, 4, 12, 8]], [2]), to)["_label"][0] == 2
    whole = Placement((99, 301), (70, 213), scale_y=70 / 99, scale_x=213 / 301)
    assert BOXES.load(StoredBoxes([[300, 98, 301, 99]], [2]), whole)["_label"][0] == 2
    part = Placement((10, 10), (5, 5), left=5.5, scale_y=0.5, scale_x=0.5)
    assert BOXES.load(StoredBoxes([[4, 4, 7, 8]], [2]), part)["_label"][0] == -1


def test_objects_keep_their_area_and_the_size_that_was_annotated_must_be_the_stored_one():
    to = Placement((10, 20), (20, 40), scale_y=2.0, scale_x=2.0)
    boxes = StoredBoxes([[0, 0, 4, 5], [-2, 0, 4, 5]], [0, 1])
    np.testing.assert_allclose(BOXES.load(boxes, to)["_area"], [20, 20, 0, 0])
    told = boxes._replace(area=[3, 0], size=(10, 20))
    np.testing.assert_allclose(BOXES.load(told, to)["_area"], [3, 20, 0, 0])
    # Fractions may be of a picture that was larger when its objects were measured.
    larger = StoredBoxes([[0, 0, 0.2, 0.5]], [0], relative=True, area=[12], size=(20, 40))
    np.testing.assert_allclose(BOXES.load(larger, to)["_area"][0], 3)
    with pytest.raises(
        WrongValue, match="of a picture of 20x10 pixels, and is one of 10x20: orient"
    ):
        BOXES.load(told._replace(size=(20, 10)), to)
    with pytest.raises(WrongValue, match="and is one of 10x20: they must have the same size"):
        BOXES.load(told._replace(size=(20, 40)), to)


def test_boxes_that_are_none_are_sorted_out():
    corners = [
        [2, 2, 2, 5],
        [5, 5, 3, 7],
        [20, 2, 30, 5],
        [-5, 1, -1, 4],
        [-3, 1, 4, 4],
        [1, 1, 5, 5],
    ]
    found = sort_out(np.array(corners, np.float32), (10, 20))
    assert found.without_area.tolist() == [True, True, False, False, False, False]
    assert found.outside.tolist() == [False, False, True, True, False, False]
    assert found.beyond.tolist() == [False, False, False, False, True, False]
    assert found.note("a.jpg") == (
        "boxes left out: 2 without area, 2 outside of the picture (the first in a.jpg); boxes cut off that "
        "reach beyond their picture: 1"
    )
    assert BOXES.load(StoredBoxes(corners, [0] * 6), Placement((10, 20), (10, 20)))[
        "_label"
    ].tolist() == [0, 0, -1, -1]


TO = Placement((2, 3), (2, 3))


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (Label(3), 3, "label 3, which is none of the 3 classes: choose a split with labels"),
        (Label(3), -1, "label -1"),
        (
            MASK,
            np.array([[0, 1, 2], [9, 7, 0]]),
            "value 7, which is none of the 5 classes, 0 to 4, and void is 9",
        ),
        (MASK, np.zeros((3, 2), int), "a label map of 3x2 pixels, and a picture of 2x3"),
        (BOXES, StoredBoxes([[0, 0, 1, 1]], [3]), "box of class 3, which is none of the 3"),
        (
            BOXES,
            StoredBoxes([[0, 0, 1, 1]] * 5, [0] * 5),
            "has 5 objects, more than config.dataset.most_boxes=4: raise that to 5",
        ),
        (BOXES, StoredBoxes([[0, 0, np.nan, 1]], [0]), "no finite number"),
        (Captions(), "a dog", "has captions that are not a list of texts"),
        (Captions(), ["a dog", 3], "has captions that are not a list of texts"),
    ],
)
def test_what_a_field_cannot_hold_is_said(kind, value, message):
    with pytest.raises(WrongValue, match=message):
        kind.load(value, TO)


def test_encoded_label_maps_are_read_as_numbers():
    labels = np.array([[0, 1, 2], [9, 4, 0]], np.uint8)
    expected = [[0, 1, 2], [-1, 4, 0]]
    np.testing.assert_array_equal(MASK.load(encode(labels, ".png"), TO)[""], expected)
    wide = labels.astype(np.uint16) + np.uint16(300) * (labels == 9)
    found = Mask(5, ignore=309).load(encode(wide, ".png"), TO)[""]
    np.testing.assert_array_equal(found, expected)
    assert Mask(5, ignore=309).arrays((2, 3))[""].dtype == found.dtype == np.int8
    assert Mask(150, ignore=255).arrays((2, 3))[""].dtype == np.int16
    for damaged in (b"", b"text", encode(labels, ".png")[:-9]):
        with pytest.raises(CorruptImage, match="the label map"):
            MASK.load(damaged, TO)


def test_captions_become_numbers_and_are_padded():
    texts, known = ["A dog.", "?!", "a zebra runs", "runs"], Vocabulary(("a", "dog", "runs"))
    two = [[1, 4, 5, 2], [1, 4, 3, 2]]  # what is behind two words is cut, and "?!" are no words
    for most, expected in (
        (1, two[:1]),
        (3, [*two, [1, 6, 2, 0]]),
        (4, [*two, [1, 6, 2, 0], [0] * 4]),
    ):
        kind = Captions(known, most, 2)
        (shape,) = kind.arrays(TO.size).values()
        found = kind.load(texts, TO)[""]
        assert (found.shape, found.dtype) == (shape.shape, shape.dtype)
        np.testing.assert_array_equal(found, expected)
        assert kind.move({"": found}, TO)[""] is found


def test_a_step_moves_all_fields_with_the_pictures():
    d = base.get_config().dataset
    d.mean, d.std = (0.0,) * 3, (1.0,) * 3
    d.augment.update(pad_crop=3, flip=True)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, (64, 12, 10)).astype(np.uint8)
    boxes = {
        "boxes": np.tile(np.float32([[2, 3, 7, 9]]), (64, 4, 1)),
        "boxes_label": np.tile(np.int32([0, -1, 2, -1]), (64, 1)),
        "boxes_crowd": np.zeros((64, 4), bool),
        "boxes_area": np.tile(np.float32([30, np.nan, 5, np.inf]), (64, 1)),
    }
    boxes["boxes"][:, 1], boxes["boxes"][:, 3] = np.nan, np.inf
    labels[:, 3:9, 2:7] = 4
    stored = {
        "image": 10 * labels[..., None] + 10,
        "index": np.arange(64, dtype=np.int32),
        "label_map": labels,
        "label": np.arange(64, dtype=np.int32),
        **boxes,
    }
    kinds = {"label_map": MASK, "label": Label(64), "boxes": BOXES}
    step = jax.jit(lambda key: training_batch(key, stored, kinds, d))
    batch = jax.device_get(step(jax.random.key(0)))
    assert batch["label_map"].dtype == np.int32
    pixels = np.rint(batch["image"][..., 0] * 255).astype(int)
    np.testing.assert_array_equal(np.where(pixels == 0, -1, pixels // 10 - 1), batch["label_map"])
    assert len({row.tobytes() for row in batch["boxes"][:, 0]}) > 30
    np.testing.assert_array_equal(batch["boxes_label"], boxes["boxes_label"])
    np.testing.assert_array_equal(batch["boxes_area"], np.tile([30, 0, 5, 0], (64, 1)))
    for map_, (x0, y0, x1, y1) in zip(batch["label_map"], batch["boxes"][:, 0], strict=True):
        assert (map_[int(y0) : int(y1), int(x0) : int(x1)] == 4).all()
    for name in ("index", "label"):
        np.testing.assert_array_equal(batch[name], np.arange(64))
    # The pictures are those of a step without the other fields.
    del stored["label_map"], kinds["label_map"]
    np.testing.assert_array_equal(batch["image"], step.__wrapped__(jax.random.key(0))["image"])
