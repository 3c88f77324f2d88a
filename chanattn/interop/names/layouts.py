"""How one array lies in PyTorch and how here: both directions of every layout side by side."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Axes:
    """A layout of its own.

    Attributes:
        here: PyTorch's array -> ours; takes every shape that released code gives it.
        there: Ours -> PyTorch's, in the shape that the canonical name has.
    """

    here: Callable[[np.ndarray], np.ndarray]
    there: Callable[[np.ndarray], np.ndarray]


Layout = str | Axes

SAME = Axes(np.asarray, np.asarray)
TRANSPOSED = Axes(np.transpose, np.transpose)
VECTOR = Axes(np.ravel, np.asarray)  # any shape of C numbers <-> (C,)
CHANNELS = Axes(np.ravel, lambda a: a.reshape(1, -1, 1, 1))


def weight_here(w: np.ndarray, layout: Layout, groups: int) -> tuple[str, np.ndarray]:
    """Our leaf name and array of a PyTorch weight; `groups` is that of "grouped" layers."""
    if isinstance(layout, Axes):
        return "kernel", layout.here(w)
    if layout == "norm":
        return "scale", w.ravel()
    if layout == "taps":  # (1, 1, k), or (C, 1, k) where each channel has its own
        return "kernel", w[0, 0] if w.shape[0] == 1 else w[:, 0].T
    if layout in ("dense", "linear"):  # (O, I, 1, 1) or (O, I)
        return "kernel", w.reshape(w.shape[:2]).T
    if layout == "grouped":  # (O, I / g, 1, 1)
        out, per_group = w.shape[:2]
        return "kernel", w.reshape(groups, out // groups, per_group).transpose(0, 2, 1)
    if w.ndim == 4:  # (O, I / g, h, w)
        return "kernel", w.transpose(2, 3, 1, 0)
    return ("scale", w) if w.ndim == 1 else ("kernel", w.T)


def weight_there(leaf: str, w: np.ndarray, layout: Layout) -> np.ndarray:
    """The PyTorch weight of our leaf `kernel` or `scale`."""
    if isinstance(layout, Axes):
        return layout.there(w)
    if leaf == "scale":
        return w
    if layout == "taps":
        return w.T.reshape(-1, 1, w.shape[0])
    if layout == "dense":
        return w.T[..., None, None]
    if layout == "grouped":  # (g, I / g, O / g)
        return w.transpose(0, 2, 1).reshape(-1, w.shape[1], 1, 1)
    return w.transpose(3, 2, 0, 1) if w.ndim == 4 else w.T
