"""Shapes with captions: these say what is to be seen, as the pixels tell; some pairs are held out."""

import functools
import pickle
from typing import NamedTuple

import cv2
import numpy as np
import pytest

from chanattn.data.sources import open_source, told_shapes
from chanattn.errors import UsageError
from configs import base

SIDE = 64
_SPECK = 8  # pixels of noise that look like a colour


def opened(split: str = "train", side: int = SIDE):
    config = base.get_config()
    config.dataset.update(name="shapes", image_size=side)
    return open_source(config.dataset, split, ["captions"])


class Seen(NamedTuple):
    """A shape as its pixels tell."""

    colour: str
    size: str
    form: str
    x: float
    y: float


def seen(picture: np.ndarray) -> list[Seen]:
    """The shapes of a picture: connected pixels that have nearly one of the colours."""
    names = list(told_shapes.COLOURS)
    palette = np.array([told_shapes.COLOURS[name] for name in names])
    distance = np.linalg.norm(picture[:, :, None].astype(float) - palette, axis=-1)
    found = []
    for number, name in enumerate(names):
        mask = ((distance.argmin(-1) == number) & (distance.min(-1) < 50)).astype(np.uint8)
        count, regions, stats, centres = cv2.connectedComponentsWithStats(mask)
        for i in range(1, count):
            if stats[i, cv2.CC_STAT_AREA] > _SPECK:
                found.append(Seen(name, *_size_and_form(regions == i, stats[i]), *centres[i]))
    return found


def _size_and_form(region: np.ndarray, stats: np.ndarray) -> tuple[str, str]:
    side = max(stats[cv2.CC_STAT_WIDTH], stats[cv2.CC_STAT_HEIGHT])
    points = np.argwhere(region)[:, ::-1].astype(np.float32)
    reach = np.linalg.norm(points - points.mean(0), axis=1).max() + 0.5
    of_circle = region.sum() / (np.pi * reach**2)  # 1 for a circle, 0.64 for a square and a cross
    corners = points[:, None] + np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    hull = cv2.contourArea(cv2.convexHull(corners.reshape(-1, 2)))
    if of_circle > 0.8:
        form = "circle"
    elif of_circle < 0.54:
        form = "triangle"
    else:
        form = "cross" if region.sum() / hull < 0.82 else "square"
    return "large" if side > 0.28 * SIDE else "small", form


def relation(one: Seen, other: Seen) -> str:
    x, y = one.x - other.x, one.y - other.y
    if abs(x) > abs(y):
        return "left of" if x < 0 else "right of"
    return "above" if y < 0 else "below"


def described(shapes: list[Seen]) -> set[str]:
    names = [f"a {each.size} {each.colour} {each.form}" for each in shapes]
    if len(shapes) == 1:
        return {f"there is {names[0]}"}
    one, other = shapes
    return {
        f"{names[0]} is {relation(one, other)} {names[1]}",
        f"{names[1]} is {relation(other, one)} {names[0]}",
    }


def without_forms(captions) -> set[str]:
    return {
        " ".join("shape" if word in told_shapes.FORMS else word for word in text.split())
        for text in captions
    }


@functools.cache
def pairs(split: str, index: int) -> frozenset[tuple[str, str]]:
    """The pairs of colour and form that a picture is said to show."""
    words = opened_once(split).captions_of(index)[0].split()
    places = [i for i, word in enumerate(words) if word in told_shapes.FORMS]
    return frozenset((words[i - 1], words[i]) for i in places)


opened_once = functools.cache(opened)


@pytest.mark.parametrize("split", ["validation", "held_out"])
def test_captions_are_true_to_the_pixels(split: str) -> None:
    source = opened(split)
    right = 0
    for index, record in enumerate(source.read(range(80))):
        captions = record.fields["captions"]
        assert tuple(captions) == tuple(source.captions_of(index))
        shapes = seen(record.image)
        assert len(shapes) == len(captions)
        assert without_forms(described(shapes)) == without_forms(captions)
        right += described(shapes) == set(captions)
    assert right >= 72  # the form of a small shape, of 13 pixels a side, may be mistaken here


def test_held_out_pairs_are_in_no_other_split() -> None:
    held_out = set(told_shapes.HELD_OUT)
    assert {name: len(opened_once(name)) for name in told_shapes.EXAMPLES} == told_shapes.EXAMPLES
    for split in ("train", "validation", "test"):
        assert not held_out & set().union(*(pairs(split, index) for index in range(500)))
    everywhere = [pairs("held_out", index) for index in range(500)]
    assert all(held_out & each for each in everywhere)
    assert set().union(*everywhere) > held_out
    colours = {colour for each in everywhere for colour, _ in each}
    assert colours == set(told_shapes.COLOURS)


def test_pictures_depend_on_split_and_number_alone() -> None:
    source = opened()
    (one,) = source.read([7])
    (again,) = pickle.loads(pickle.dumps(source)).read([7])
    np.testing.assert_array_equal(one.image, again.image)
    assert one.fields == again.fields
    assert tuple(opened("validation").captions_of(7)) != tuple(source.captions_of(7))
    assert set(source.places()).isdisjoint(opened("test").places())


def test_a_split_that_is_absent_is_told() -> None:
    with pytest.raises(UsageError, match="has the splits train, validation, test, held_out, not"):
        opened("all")


def test_pictures_without_room_for_two_shapes_are_refused() -> None:
    side = told_shapes.LEAST_SIDE
    with pytest.raises(
        UsageError, match=f"needs pictures of {side}x{side} pixels at least, not 31"
    ):
        opened(side=side - 1)
    assert len(opened(side=side).read(range(60))) == 60
