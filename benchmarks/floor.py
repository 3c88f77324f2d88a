"""The least time that a row can take on a machine: its arithmetic at the best rate, its traffic at a copy's.

A row takes at least the longer of the two: the floating-point operations of its convolutions and matrix
products over the fastest rate measured, and the bytes that it cannot but move over the bandwidth of a copy.

    network    every convolution and product reads its operands and writes its result once
    module     forward reads x and writes y; backward reads x and the gradient of y, writes that of x

All else is held to be free: statistics, activations, sums, gates, the optimizer. A map that stays in a cache
moves faster than a copy of memory, so that a small row may be faster than its floor.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from chanattn.layers import kernels
from chanattn.layers.convolution import convolve
from chanattn.macs import of_primitive

_REPEATS = 8  # the fastest counts: a limit is what the machine can do, not what it did meanwhile
_COPIED = {"cpu": 128 * 2**20, "gpu": 2**30}  # bytes, more than a core's caches hold
_SIDE = {"cpu": 2048, "gpu": 8192}  # of the square matrices
_PICTURES = {"cpu": 16, "gpu": 256}
_PASSES = {"infer": 2, "train": 5}  # over an array of the size of x


@dataclass(frozen=True)
class Limits:
    """What a machine can do.

    Attributes:
        flop_per_s: Floating-point operations a second: of a product of matrices or of a 3x3 convolution of
            64 channels, whichever is faster.
        bytes_per_s: Read and written by a copy in memory.
    """

    flop_per_s: float
    bytes_per_s: float


@dataclass(frozen=True)
class Work:
    """What a step cannot but do: floating-point operations (a product and a sum are two), and bytes moved."""

    flop: int
    bytes: int

    def seconds(self, limits: Limits) -> float:
        """The least time that it takes."""
        return max(self.flop / limits.flop_per_s, self.bytes / limits.bytes_per_s)


def measure(precision: str) -> Limits:
    """The limits of the devices that JAX uses first, with the kernels that are chosen.

    Args:
        precision: Type of what is multiplied, float32 or bfloat16.
    """
    platform = jax.default_backend()
    platform = platform if platform in _COPIED else "gpu"
    dtype = jnp.dtype(precision)
    side, size = _SIDE[platform], _COPIED[platform]
    matrix = jnp.ones((side, side), dtype)
    product = partial(jax.jit(jnp.matmul), matrix, matrix)
    pictures = jnp.ones((_PICTURES[platform], 56, 56, 64), dtype)
    kernel, padding = jnp.ones((3, 3, 64, 64), dtype), ((1, 1), (1, 1))
    convolution = partial(jax.jit(partial(convolve, padding=padding)), pictures, kernel)
    rates = [
        2 * side**3 / _fastest(product),
        2 * pictures.size * kernel.size / 64 / _fastest(convolution),
    ]
    # In place: memory fresh from the system costs more than the traffic.
    held = [jnp.ones(size // 4, jnp.float32)]
    add = jax.jit(lambda x: x + 1, donate_argnums=0)

    def copy() -> jax.Array:
        held[0] = add(held[0])
        return held[0]

    return Limits(max(rates), 2 * size / _fastest(copy))


def of_network(model: Any, weights: Any, images: Any, mode: str, **inputs: Any) -> Work:
    """The work of a network's forward pass or, in mode train, of that and of all gradients of its weights.

    Args:
        model: A Flax module that is called with images and `train`.
        weights: Its variables, or their shapes.
        images: (N, H, W, C), or their shape.
        mode: train or infer.
        **inputs: Further arguments of the call.
    """
    fixed = {name: leaves for name, leaves in weights.items() if name != "params"}

    def size(params: Any, fixed: Any, images: jax.Array, inputs: Any) -> jax.Array:
        """Any scalar in which every output has its part."""
        variables, train = {"params": params, **fixed}, mode == "train"
        outputs, _ = model.apply(variables, images, train=train, mutable=list(fixed), **inputs)
        return jnp.sum(jnp.stack([jnp.sum(leaf**2) for leaf in jax.tree.leaves(outputs)]))

    step = jax.value_and_grad(size) if mode == "train" else size
    return _count(step, weights["params"], fixed, images, inputs)


def of_module(function: Callable[..., Any], *arguments: Any, x: jax.Array, mode: str) -> Work:
    """The work of an attention module alone, which `function(*arguments)` computes on the map `x`."""
    return Work(_count(function, *arguments).flop, _PASSES[mode] * x.size * x.dtype.itemsize)


def _fastest(call: Callable[[], Any]) -> float:
    seconds = []
    for _ in range(_REPEATS + 1):  # the first compiles
        start = perf_counter()
        jax.block_until_ready(call())
        seconds.append(perf_counter() - start)
    return min(seconds[1:])


def _count(function: Callable[..., Any], *arguments: Any) -> Work:
    # A call of oneDNN's would hide what it computes.
    with kernels.chosen("plain"):
        jaxpr = jax.make_jaxpr(function)(*arguments).jaxpr
    flop = moved = 0
    for equation in _equations(jaxpr):
        macs = of_primitive(equation).total
        if macs:
            flop += 2 * macs
            moved += sum(map(_bytes, (*equation.invars, *equation.outvars)))
    return Work(flop, moved)


def _equations(jaxpr: core.Jaxpr) -> Iterator[core.JaxprEqn]:
    for equation in jaxpr.eqns:
        yield equation
        for inner in core.jaxprs_in_params(equation.params):
            yield from _equations(inner)


def _bytes(variable: Any) -> int:
    return variable.aval.size * variable.aval.dtype.itemsize
