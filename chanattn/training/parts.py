"""Inference on a CPU in parts of a batch, each computed on a core of its own.

An operation on all cores ends with the slowest of them, and begins with waking the others: a network has
dozens, and a batch in parts waits once. Measured on two cores (benchmarks/NOTES.md).
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp

from chanattn.layers import kernels
from chanattn.onednn.library import cores
from chanattn.onednn.primitive import on_one_thread

PyTree = Any

_LEAST_PIXELS = 1 << 16
"""Of a batch; with fewer, the programs that cut and join take as long as they save."""
_LEAST_PICTURES = 4
"""Of a part: each core reads all weights."""
_MOST_PARTS = 8
"""More cores share the operations, as in training; parts were measured on two."""


def parts_of(shape: tuple[int, ...]) -> int:
    """Into how many parts a batch of pictures (B, H, W, C) is cut; 1 where that does not pay.

    It pays where oneDNN computes, whose operations can be told to keep to one core.
    """
    pictures, height, width, _ = shape
    if pictures * height * width < _LEAST_PIXELS or kernels.current() != "onednn":
        return 1
    threads = cores()
    fits = pictures % threads == 0 and pictures >= _LEAST_PICTURES * threads
    return threads if fits and threads <= _MOST_PARTS else 1


def in_parts(function: Callable[..., PyTree], weights: PyTree, *batch: PyTree) -> "InParts | None":
    """A function in parts, where that pays and all that it returns has the axis of the batch; else None.

    Args:
        function: see `InParts`.
        weights: its first argument, or the shapes of it.
        *batch: the others, or their shapes; the pictures first.
    """
    number = parts_of(batch[0].shape)
    cut = InParts(function, number) if number > 1 else None
    return cut if cut is not None and cut.fits(weights, *batch) else None


class InParts:
    """A function of weights and a batch, computed in parts side by side; to be called on the host.

    Args:
        function: `(weights, *batch) -> outputs`, pytrees of arrays whose first axis, except in the weights,
            is that of the batch; what it makes of an example does not depend on the others.
        parts: how many, a divisor of the batch.
    """

    def __init__(self, function: Callable[..., PyTree], parts: int) -> None:
        self._function, self._parts = jax.jit(function), parts
        self._programs: dict[Any, Callable[..., PyTree]] = {}
        self._traced: list[PyTree] = []
        # A part has a thread of its own: XLA computes one after another what one thread asks for.
        self._threads = [ThreadPoolExecutor(1) for _ in range(parts)]
        self._cut = jax.jit(self._cut_up)
        self._join = jax.jit(
            lambda parts: jax.tree.map(lambda *rows: jnp.concatenate(rows), *parts)
        )

    def fits(self, weights: PyTree, *batch: PyTree) -> bool:
        """Whether all that the function returns has the axis of the batch, so that parts can be joined."""
        part = jax.eval_shape(self._cut, batch)[0]
        size = jax.tree.leaves(part)[0].shape[0]
        with on_one_thread():
            outputs = jax.eval_shape(self._function, weights, *part)
        return all(leaf.shape[:1] == (size,) for leaf in jax.tree.leaves(outputs))

    def traced(self, weights: PyTree, *batch: PyTree) -> PyTree:
        """The same as a part of a program, one part after another; traced as the parts are."""
        parts = self._cut(batch)
        self._traced.append(jax.tree.map(_outline, (weights, *parts[0])))
        with on_one_thread():
            return self._join([self._function(weights, *part) for part in parts])

    def compile(self) -> None:
        """Compiles it for what `traced` was called with; else the first call of each kind does."""
        for weights, *part in self._traced:
            self._program(weights, part)
        self._traced.clear()

    def __call__(self, weights: PyTree, *batch: PyTree) -> PyTree:
        """What `function` returns for the whole batch."""
        parts = self._cut(batch)
        program = self._program(weights, parts[0])
        running = [
            thread.submit(program, weights, *part)
            for thread, part in zip(self._threads, parts, strict=True)
        ]
        return self._join([part.result() for part in running])

    def _cut_up(self, batch: Sequence[PyTree]) -> list[Sequence[PyTree]]:
        def part(number: int) -> Any:
            def rows(array: jax.Array) -> jax.Array:
                size = array.shape[0] // self._parts
                return array[number * size : (number + 1) * size]

            return jax.tree.map(rows, batch)

        return [part(number) for number in range(self._parts)]

    def _program(self, weights: PyTree, part: Sequence[PyTree]) -> Callable[..., PyTree]:
        leaves, structure = jax.tree.flatten((weights, *part))
        kind = (structure, *((leaf.shape, leaf.dtype) for leaf in leaves))
        if kind not in self._programs:
            with on_one_thread():
                self._programs[kind] = self._function.lower(weights, *part).compile()
        return self._programs[kind]


def _outline(leaf: jax.Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
