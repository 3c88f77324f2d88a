"""Which location of which level learns which object: the rule of FCOS.

A location is a positive of an object if it lies strictly inside of its box and, along both axes, less than
`radius` strides from its centre, and if the farthest side is as far as the level is for. Of several objects
it takes the one of the least area.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from chanattn.tasks import boxes

#: Labels of locations without an object: that are nothing, and of which nothing is known.
BACKGROUND, UNKNOWN = -1, -2


class Grid(NamedTuple):
    """The locations of all levels, one after another, row by row.

    Attributes:
        points: (P, 2) x and y in pixels.
        stride: (P,) of the level.
        least: (P,) the least distance of the farthest side that the level is for.
        most: (P,) the largest one.
    """

    points: np.ndarray
    stride: np.ndarray
    least: np.ndarray
    most: np.ndarray

    @classmethod
    def of(
        cls,
        size: tuple[int, int],
        strides: tuple[int, ...],
        ranges: tuple[float, ...],
        *,
        centered: bool = True,
    ) -> "Grid":
        """Of pictures of `size`: a level of stride s has ceil(H / s) rows and ceil(W / s) columns.

        Args:
            size: (H, W).
            strides: Of the levels.
            ranges: The limits between them.
            centered: Whether points lie at floor(s / 2) + i s; else at i s.
        """
        parts = []
        for stride, least, most in zip(strides, (0.0, *ranges), (*ranges, np.inf), strict=True):
            y, x = (np.arange(-(-side // stride)) * stride for side in size)
            points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
            points = points + (stride // 2 if centered else 0)
            facts = (np.full(len(points), fact, np.float32) for fact in (stride, least, most))
            parts.append((points.astype(np.float32), *facts))
        return cls(*map(np.concatenate, zip(*parts, strict=True)))


class Objects(NamedTuple):
    """The objects of a picture, padded; see `chanattn.data.fields.Boxes`.

    Attributes:
        boxes: (M, 4).
        label: (M,), -1 where there is none.
        crowd: (M,) whether a box surrounds many, of which none is told apart.
    """

    boxes: jax.Array
    label: jax.Array
    crowd: jax.Array


def assign(
    objects: Objects, grid: Grid, *, radius: float, closed: bool
) -> tuple[jax.Array, jax.Array]:
    """What every location shall say.

    Args:
        objects: Of one picture.
        grid: Its locations.
        radius: In strides; 0: the whole box.
        closed: Whether a farthest side exactly at a limit belongs to both levels, as in the authors' code,
            or to none.

    Returns:
        (P,) labels, `UNKNOWN` in crowds where no object is, else `BACKGROUND`; and (P, 4) distances to the
        sides of the object, 0 where there is none.
    """
    real = objects.label >= 0
    corners = jnp.where(real[:, None], objects.boxes.astype(jnp.float32), 0.0)
    stride, least, most = (jnp.asarray(fact)[:, None] for fact in grid[1:])
    x, y = jnp.split(jnp.asarray(grid.points), 2, axis=1)
    x0, y0, x1, y1 = corners.T
    sides = x - x0, y - y0, x1 - x, y1 - y  # (P, M) each, which no program has to keep
    inside = functools.reduce(jnp.minimum, sides) > 0
    farthest = functools.reduce(jnp.maximum, sides)
    in_range = (
        (farthest >= least) & (farthest <= most)
        if closed
        else (farthest > least) & (farthest < most)
    )
    off_centre = jnp.maximum(jnp.abs(x - (x0 + x1) / 2), jnp.abs(y - (y0 + y1) / 2))
    central = off_centre < radius * stride if radius else True
    positive = inside & in_range & central & real & ~objects.crowd
    area = jnp.where(positive, boxes.area(corners), jnp.inf)
    chosen = jnp.argmin(area, axis=1)  # of equal ones the first
    found = positive.any(axis=1)
    in_crowd = (inside & real & objects.crowd).any(axis=1)
    nothing = jnp.where(in_crowd, UNKNOWN, BACKGROUND)
    label = jnp.where(found, objects.label[chosen], nothing)
    own = boxes.to_distances(jnp.asarray(grid.points), corners[chosen])
    return label, jnp.where(found[:, None], own, 0.0)


def centerness(distances: jax.Array) -> jax.Array:
    """How central a location is in its object, from (..., 4) distances: 1 in the centre, 0 on a side.

    sqrt(min(l, r) / max(l, r) * min(t, b) / max(t, b)); 0 where all distances are 0.
    """
    near = jnp.minimum(distances[..., :2], distances[..., 2:])
    far = jnp.maximum(distances[..., :2], distances[..., 2:])
    return jnp.sqrt((near / jnp.where(far > 0, far, 1.0)).prod(axis=-1))
