"""Convolution, batch norm and max pool on float32 arrays, with their gradients, computed by oneDNN."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp

from chanattn.onednn import convolution as convolutions
from chanattn.onednn import dilated, ffi, grouped, normalisation, pooling
from chanattn.onednn.convolution import NOTHING, Geometry, Then
from chanattn.onednn.pooling import Windows
from chanattn.onednn.primitive import Operation, is_on_one_thread

P = ParamSpec("P")
T = TypeVar("T")
_Optional = jax.Array | None
_Saved = tuple[Any, ...]


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def convolution(
    x: jax.Array,
    kernel: jax.Array,
    bias: _Optional,
    addend: _Optional,
    geometry: Geometry,
    relu: bool,
) -> jax.Array:
    """relu(convolution + bias + addend) in one pass over the result.

    Args:
        x: (N, H, W, I).
        kernel: (kh, kw, I / groups, O).
        bias: (O,), or None.
        addend: a map of the result's shape, or None.
        geometry: shapes and windows.
        relu: whether negative values become zero.
    """
    then = Then(bias=bias is not None, addend=addend is not None, relu=relu)
    added = [operand for operand in (bias, addend) if operand is not None]
    wide = grouped.merged("forward", geometry)
    kernel = grouped.widen(kernel, geometry, wide)
    return _convolution("forward", wide, wide.output, x, kernel, *added, then=then)


def _convolution_forward(
    x: jax.Array,
    kernel: jax.Array,
    bias: _Optional,
    addend: _Optional,
    geometry: Geometry,
    relu: bool,
) -> tuple[jax.Array, _Saved]:
    y = convolution(x, kernel, bias, addend, geometry, relu)
    return y, (x, kernel, bias, addend, y if relu else None)


def _convolution_backward(
    geometry: Geometry, relu: bool, saved: _Saved, dy: jax.Array
) -> tuple[_Optional, ...]:
    x, kernel, bias, addend, y = saved
    if y is not None:
        dy = jnp.where(y > 0, dy, 0)
    return (
        _convolution("input", geometry, geometry.image, dy, kernel),
        _kernel_gradient(x, dy, geometry),
        None if bias is None else dy.sum((0, 1, 2)),
        None if addend is None else dy,
    )


def _kernel_gradient(x: jax.Array, dy: jax.Array, geometry: Geometry) -> jax.Array:
    phases = dilated.phases_of(geometry)
    if phases is not None:
        x, dy = (dilated.split(each, geometry.dilation) for each in (x, dy))
        geometry = phases
    wide = grouped.merged("kernel", geometry)
    return grouped.narrow(_convolution("kernel", wide, wide.kernel, x, dy), geometry, wide)


convolution.defvjp(_convolution_forward, _convolution_backward)


def pack(kernel: jax.Array, geometry: Geometry) -> jax.Array:
    """The kernel as bytes in oneDNN's own layout for convolutions of that geometry."""
    wide = grouped.merged("forward", geometry)
    target, size = _packing_target(wide)
    return _call(target, [_bytes(size)], grouped.widen(kernel, geometry, wide))[0]


def convolution_of_packed(
    x: jax.Array,
    packed: jax.Array,
    bias: jax.Array,
    addend: _Optional,
    geometry: Geometry,
    relu: bool,
) -> jax.Array:
    """As `convolution`, with a kernel from `pack`, which saves a copy; it has no gradient."""
    then = Then(bias=True, addend=addend is not None, relu=relu)
    operands = (x, packed, bias) if addend is None else (x, packed, bias, addend)
    wide = grouped.merged("forward", geometry)
    return _convolution("packed", wide, wide.output, *operands, then=then)


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


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def max_pool(x: jax.Array, windows: Windows) -> jax.Array:
    """The maximum of each window of x (N, H, W, C); of equal values the first has the gradient."""
    return _max_pool_forward(x, windows)[0]


def _max_pool_forward(x: jax.Array, windows: Windows) -> tuple[jax.Array, jax.Array]:
    target, places = _max_pool_target("forward", windows)
    y, where = _call(target, [_like(windows.output), places], x)
    return y, where


def _max_pool_backward(windows: Windows, where: jax.Array, dy: jax.Array) -> tuple[jax.Array]:
    target, _ = _max_pool_target("backward", windows)
    (dx,) = _call(target, [_like(windows.image)], dy, where)
    return (dx,)


max_pool.defvjp(_max_pool_forward, _max_pool_backward)


def _convolution(
    direction: str,
    geometry: Geometry,
    shape: tuple[int, ...],
    *operands: jax.Array,
    then: Then = NOTHING,
) -> jax.Array:
    return _call(_convolution_target(direction, geometry, then), [_like(shape)], *operands)[0]


def name_of(geometry: Geometry) -> str:
    """A name that no other geometry has."""
    shapes = [geometry.image, geometry.kernel, geometry.strides, *geometry.padding]
    return ".".join([*map(_text, [*shapes, geometry.dilation]), str(geometry.groups)])


def _once(prepare: Callable[P, T]) -> Callable[P, T]:
    """Keeps what `prepare` returns for the same arguments; on one thread it is another operation."""
    kept: dict[tuple[object, ...], T] = {}

    @functools.wraps(prepare)
    def prepared(*arguments: P.args, **named: P.kwargs) -> T:
        key = (is_on_one_thread(), *arguments, *named.items())
        if key not in kept:
            kept[key] = prepare(*arguments, **named)
        return kept[key]

    return prepared


@_once
def _packing_target(geometry: Geometry) -> tuple[str, int]:
    operation, size = convolutions.packing(geometry)
    return _register("packing", [name_of(geometry)], operation), size


@_once
def _convolution_target(direction: str, geometry: Geometry, then: Then) -> str:
    parts = [direction, name_of(geometry)]
    parts += [name for name, used in dataclasses.asdict(then).items() if used]
    return _register("convolution", parts, convolutions.convolution(direction, geometry, then))


@_once
def _batch_norm_target(
    direction: str, shape: tuple[int, ...], eps: float, relu: bool
) -> tuple[str, list[jax.ShapeDtypeStruct]]:
    operation, size = normalisation.batch_norm(direction, shape, eps, relu)
    target = _register("batch_norm", [direction, _text(shape), repr(eps), str(relu)], operation)
    return target, [_bytes(size)] if relu else []


@_once
def _max_pool_target(direction: str, windows: Windows) -> tuple[str, jax.ShapeDtypeStruct]:
    operation, size = pooling.max_pool(direction, windows)
    sizes = (windows.size, windows.stride, windows.padding)
    target = _register("max_pool", [direction, _text(windows.image), _text(sizes)], operation)
    return target, _bytes(size)


def _register(kind: str, parts: list[str], operation: Operation) -> str:
    how = ["one_thread"] if is_on_one_thread() else []
    name = ".".join(["chanattn", "onednn", kind, *parts, *how])
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
