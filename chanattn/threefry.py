"""Random numbers of JAX's default generator on the host, by NumPy: equal to the bit, and nothing to compile.

Threefry-2x32 with 20 rounds: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC
2011. Keys and counters are used as `jax.random` does with partitionable threefry. A key is two words of 32
bits, (2,) uint32.
"""

import math

import numpy as np

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)


def key(seed: int) -> np.ndarray:
    """`jax.random.key` of a seed below 2^32."""
    return np.array([0, seed], np.uint32)


def fold_in(key: np.ndarray, number: int) -> np.ndarray:
    """`jax.random.fold_in`."""
    return np.concatenate(_block(key, np.zeros(1, np.uint32), np.array([number], np.uint32)))


def split(key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`jax.random.split` into two."""
    words = np.stack(_block(key, np.zeros(2, np.uint32), np.arange(2, dtype=np.uint32)), axis=1)
    return words[0], words[1]


def bits(key: np.ndarray, length: int) -> np.ndarray:
    """`jax.random.bits` of the shape (length,), uint32; fewer than 2^32."""
    first, second = _block(key, np.zeros(length, np.uint32), np.arange(length, dtype=np.uint32))
    return first ^ second


def permutation(key: np.ndarray, length: int) -> np.ndarray:
    """`jax.random.permutation` of 0 .. length - 1, (length,) int32.

    Sorted by random keys, and so often that equal keys leave no trace.
    """
    order = np.arange(length, dtype=np.int32)
    for _ in range(math.ceil(3 * math.log(max(1, length)) / math.log(2**32 - 1))):
        key, part = split(key)
        order = order[np.argsort(bits(part, length), kind="stable")]
    return order


def _block(key: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both words of the cipher for each counter (x, y)."""
    keys = (key[:1], key[1:], key[:1] ^ key[1:] ^ _PARITY)
    x, y = x + keys[0], y + keys[1]
    for turn in range(5):
        for by in _ROTATIONS[turn % 2]:
            x = x + y
            y = (y << np.uint32(by) | y >> np.uint32(32 - by)) ^ x
        x = x + keys[(turn + 1) % 3]
        y = y + keys[(turn + 2) % 3] + np.uint32(turn + 1)
    return x, y
