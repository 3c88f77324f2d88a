"""Weights by formula: PyTorch's name and shape decide every value, so that no file need hold them.

Needs numpy alone: the reference implementation is filled by the same code.
"""

import math
import re
import zlib

import numpy as np


def uniform(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Values in [-1, 1) that look random, the same for ever: SplitMix64, counting from the name on."""
    x = np.arange(math.prod(shape), dtype=np.uint64)
    with np.errstate(over="ignore"):
        x = (x + np.uint64(zlib.crc32(name.encode()))) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return ((x >> np.uint64(40)).astype(np.float64) / 2**23 - 1).reshape(shape).astype(np.float32)


def images(count: int, side: int) -> np.ndarray:
    """(count, side, side, 3), in [-2, 2)."""
    return 2 * uniform("images", (count, side, side, 3))


def weights(name: str, shape: tuple[int, ...], gain: float = 2.0) -> np.ndarray:
    """A parameter or buffer of a network of timm's efficientnet.py or mobilenetv3.py.

    With a `gain` of 2 gates and activations are neither saturated nor linear; networks without shortcuts need
    more. Branches beside a shortcut are weak: deep networks would be chaotic, and rounding would decide.
    """
    u = uniform(name, shape)
    layer, _, leaf = name.rpartition(".")
    if leaf == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if leaf == "running_var" or (leaf == "weight" and len(shape) == 1):
        return 1 + u / 2
    if leaf != "weight":
        return u / 4 + np.float32(1.5 if layer.endswith("conv_expand") else 0)
    if layer.endswith(("conv_reduce", "conv_expand")):
        gain = 9.0
    elif re.fullmatch(r"blocks\.\d+\.[1-9]\d*\.(conv_pwl|conv)", layer):  # not the first of a group
        gain = 0.05
    elif layer.endswith("conv_pwl"):
        gain = 1.0
    return u * np.float32(math.sqrt(3 * gain / math.prod(shape[1:])))


def plain_weights(name: str, shape: tuple[int, ...], gain: float = 2.0) -> np.ndarray:
    """A parameter or buffer of any network of timm's; branches are as strong as shortcuts.

    Fit for networks of a few blocks: of deep ones rounding would decide.
    """
    u = uniform(name, shape)
    leaf = name.rpartition(".")[2]
    if leaf == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if leaf == "running_var" or (leaf in ("weight", "gain", "gamma") and _flat(shape)):
        return 1 + u / 2
    if len(shape) < 2 or leaf == "bias" or _flat(shape):
        return u / 4
    return u * np.float32(math.sqrt(3 * gain / math.prod(shape[1:])))


def _flat(shape: tuple[int, ...]) -> bool:
    """Whether there is a number a channel at most."""
    return math.prod(shape) == max(shape, default=1)
