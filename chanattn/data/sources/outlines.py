"""Drawing of shapes on textured ground."""

import numpy as np


def noisy(ground: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A picture (H, W, 3) uint8 with the texture of noise."""
    found: np.ndarray = np.clip(ground + rng.normal(0, 8, ground.shape), 0, 255).astype(np.uint8)
    return found


def shaded(colour: np.ndarray, rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """(height, width, 3) uint8 of one colour, of a brightness that differs a little from pixel to pixel."""
    shade = rng.normal(0, 6, (height, width, 1)) + colour
    found: np.ndarray = np.clip(shade, 0, 255).astype(np.uint8)
    return found


def outline(name: str, centre: np.ndarray, radius: float, angle: float) -> list[np.ndarray]:
    """Closed polygons (points, 2) int32 of x and y; of a ring two, between which it lies."""

    def polygon(angles: np.ndarray, radii: np.ndarray | float) -> np.ndarray:
        directions = np.stack([np.cos(angles + angle), np.sin(angles + angle)], axis=1)
        return np.rint(centre + np.reshape(radii, (-1, 1)) * directions).astype(np.int32)

    around = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    match name:
        case "circle":
            return [polygon(around, radius)]
        case "ring":
            return [polygon(around, radius), polygon(around, 0.5 * radius)]
        case "square":
            return [polygon(np.arange(4) * np.pi / 2, radius)]
        case "triangle":
            return [polygon(np.arange(3) * 2 * np.pi / 3, radius)]
        case _:  # a cross: arms a third as wide as the whole
            corner, inner = np.arctan(1 / 3), np.hypot(1, 1) / 3
            angles = np.arange(4)[:, None] * np.pi / 2 + [-corner, corner, np.pi / 4]
            radii = np.tile([np.hypot(1, 1 / 3), np.hypot(1, 1 / 3), inner], 4)
            return [polygon(angles.ravel(), radius * radii / radii.max())]
