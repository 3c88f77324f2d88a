"""Convolution and batch norm on float32 arrays, with their gradients, computed by oneDNN."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from chanattn.onednn import ffi, primitive
from chanattn.onednn.primitive import Geometry, Operation


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolution(x: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
    """The convolution of (N, H, W, I) with (kh, kw, I / groups, O) as `geometry` says."""
    return _convolution("forward", geometry, x, kernel, geometry.output)


def _convolution_forward(
    x: jax.Array, kernel: jax.Array, geometry: Geometry
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return convolution(x, kernel, geometry), (x, kernel)


def _convolution_backward(
    geometry: Geometry, saved: tuple[jax.Array, jax.Array], dy: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = saved
    return (
        _convolution("input", geometry, dy, kernel, geometry.image),
        _convolution("kernel", geometry, x, dy, geometry.kernel),
    )


convolution.defvjp(_convolution_forward, _convolution_backward)


def batch_norm(
    x: jax.Array, scale: jax.Array, shift: jax.Array, eps: float, relu: bool
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(x - mean) / sqrt(variance + eps) * scale + shift over all but the last axis of (N, H, W, C).

    Args:
        x: features.
        scale: (C,).
        shift: (C,).
        eps: added to the biased variance.
        relu: whether a ReLU follows, at no cost.

    Returns:
        The result, the mean (C,) and the variance (C,); no gradient flows through the last two.
    """
    y, mean, variance = _batch_norm(x, scale, shift, eps, relu)
    return y, jax.lax.stop_gradient(mean), jax.lax.stop_gradient(variance)


_Saved = tuple[jax.Array, ...]


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _batch_norm(
    x: jax.Array, scale: jax.Array, shift: jax.Array, eps: float, relu: bool
) -> tuple[jax.Array, jax.Array, jax.Array]:
    return _batch_norm_forward(x, scale, shift, eps, relu)[0]


def _batch_norm_forward(
    x: jax.Array, scale: jax.Array, shift: jax.Array, eps: float, relu: bool
) -> tuple[tuple[jax.Array, jax.Array, jax.Array], _Saved]:
    target, memory = _batch_norm_target("forward", x.shape, eps, relu)
    vector = _like(scale.shape)
    results = [_like(x.shape), vector, vector, *memory]
    y, mean, variance, *mask = _call(target, results, x, scale, shift)
    return (y, mean, variance), (x, mean, variance, scale, *mask)


def _batch_norm_backward(
    eps: float, relu: bool, saved: _Saved, gradients: tuple[jax.Array, jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array, jax.Array]:
    x, mean, variance, scale, *mask = saved
    target, _ = _batch_norm_target("backward", x.shape, eps, relu)
    vector = _like(scale.shape)
    operands = (x, mean, variance, gradients[0], scale, *mask)
    dx, dscale, dshift = _call(target, [_like(x.shape), vector, vector], *operands)
    return dx, dscale, dshift


_batch_norm.defvjp(_batch_norm_forward, _batch_norm_backward)


def _convolution(
    direction: str, geometry: Geometry, a: jax.Array, b: jax.Array, shape: tuple[int, ...]
) -> jax.Array:
    return _call(_convolution_target(direction, geometry), [_like(shape)], a, b)[0]


@functools.cache
def _convolution_target(direction: str, geometry: Geometry) -> str:
    shapes = [geometry.image, geometry.kernel, geometry.strides, *geometry.padding]
    parts = [direction, *map(_text, [*shapes, geometry.dilation]), str(geometry.groups)]
    return _register("convolution", parts, primitive.convolution(direction, geometry))


@functools.cache
def _batch_norm_target(
    direction: str, shape: tuple[int, ...], eps: float, relu: bool
) -> tuple[str, list[jax.ShapeDtypeStruct]]:
    operation, size = primitive.batch_norm(direction, shape, eps, relu)
    target = _register("batch_norm", [direction, _text(shape), repr(eps), str(relu)], operation)
    return target, [_bytes(size)] if relu else []


def _register(kind: str, parts: list[str], operation: Operation) -> str:
    name = ".".join(["chanattn", "onednn", kind, *parts])
    ffi.register(name, operation)
    return name


def _call(
    target: str, results: list[jax.ShapeDtypeStruct], *operands: jax.Array
) -> Sequence[jax.Array]:
    return jax.ffi.ffi_call(target, results, vmap_method="sequential")(*operands)


def _bytes(size: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((size,), jnp.uint8)


def _like(shape: tuple[int, ...]) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def _text(values: tuple[int, ...]) -> str:
    return "x".join(map(str, values))
