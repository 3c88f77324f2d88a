"""One convolution, computed by what is fastest where it runs; see `kernels`."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from chanattn.layers import kernels
from chanattn.onednn import dilated, operations
from chanattn.onednn.convolution import Geometry

# XLA's convolutions on the CPU copy patches before they multiply; the gradient of the kernel is fast while
# the patches of a part of the batch stay in the cache. Measured on 2 cores with 2 MB each.
_PATCH_BYTES = 6 << 20
_MOST_PARTS = 16
_MOST_SPLITS = 8


def convolve(
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array | None = None,
    addend: jax.Array | None = None,
    *,
    relu: bool = False,
    strides: tuple[int, int] = (1, 1),
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0)),
    dilation: tuple[int, int] = (1, 1),
    groups: int = 1,
) -> jax.Array:
    """relu(conv(x, kernel) + bias + addend), with `lax.conv_general_dilated`, in value and gradients.

    What follows the convolution costs nothing where oneDNN computes it.

    Args:
        x: Pictures, (N, H, W, I).
        kernel: (kh, kw, I / groups, O), of the same type, as are all arrays.
        bias: (O,), or None.
        addend: Of the result's shape, or None.
        relu: Whether negative values become zero.
        strides: Vertical and horizontal.
        padding: Zeros (before, after) of each direction.
        dilation: Distances between the taps.
        groups: Number of channel groups, each convolved on its own.
    """
    geometry = Geometry(x.shape, kernel.shape, strides, padding, dilation, groups)
    plain = functools.partial(_then, _plain, geometry, relu)
    operands = (x, kernel, bias, addend)
    which = kernels.current()
    if which == "onednn" and x.dtype == kernel.dtype == jnp.float32 and _is_ordinary(geometry):

        def fast(x: jax.Array, *others: Any) -> jax.Array:
            if _is_product(geometry):
                return _then(_product, geometry, relu, x, *others)
            phase, ordinary = dilated.on_first_phase(x, geometry)
            return operations.convolution(phase, *others, ordinary, relu)

        return kernels.by_platform(*operands, cpu=fast, default=plain)
    if which == "xla":
        fast = functools.partial(_then, _for_xla, geometry, relu)
        return kernels.by_platform(*operands, cpu=fast, default=plain)
    return plain(*operands)


def _then(
    convolution: Callable[[jax.Array, jax.Array, Geometry], jax.Array],
    geometry: Geometry,
    relu: bool,
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array | None,
    addend: jax.Array | None,
) -> jax.Array:
    """What follows a convolution, step by step."""
    y = convolution(x, kernel, geometry)
    if bias is not None:
        y = y + bias
    if addend is not None:
        y = y + addend
    return jax.nn.relu(y) if relu else y


def fits_onednn(geometry: Geometry) -> bool:
    """Whether oneDNN computes it where it is, of float32 maps."""
    return _is_ordinary(geometry) and not _is_product(geometry)


def _is_ordinary(geometry: Geometry) -> bool:
    """Whether oneDNN takes it: no empty array, no cropping, no window that lies in the padding alone."""
    reach = [d * (taps - 1) for d, taps in zip(geometry.dilation, geometry.kernel, strict=False)]
    fits = [
        0 <= pad <= most for most, pair in zip(reach, geometry.padding, strict=True) for pad in pair
    ]
    return all(fits) and min(*geometry.image, *geometry.output, *geometry.kernel) > 0


def _is_product(geometry: Geometry) -> bool:
    """Whether every position becomes one number, a product with a vector.

    oneDNN has no fast code for it: a gate with such a mask took 1.3 to 1.8 times as long with gradients.
    """
    windows = (geometry.kernel[:2], geometry.strides, (geometry.groups, geometry.kernel[3]))
    return windows == ((1, 1),) * 3 and geometry.padding == ((0, 0), (0, 0))


def _product(x: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
    return x @ kernel[0, 0]


def _plain(x: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=geometry.strides,
        padding=geometry.padding,
        rhs_dilation=geometry.dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=geometry.groups,
    )


def _for_xla(x: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
    """One convolution a group, where they are few: the gradient of a grouped one is up to 60 times slower.

    A program with very many convolutions takes long to compile, and depthwise ones would be one a channel.
    """
    groups = geometry.groups
    if groups > _MOST_SPLITS or (groups > 1 and kernel.shape[2] == 1):
        return _plain(x, kernel, geometry)
    xs, kernels_ = jnp.split(x, groups, axis=-1), jnp.split(kernel, groups, axis=-1)
    parts = [
        _in_parts(
            part,
            own,
            Geometry(
                part.shape, own.shape, geometry.strides, geometry.padding, geometry.dilation, 1
            ),
        )
        for part, own in zip(xs, kernels_, strict=True)
    ]
    return parts[0] if groups == 1 else jnp.concatenate(parts, axis=-1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _in_parts(x: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
    """The plain convolution, whose kernel gradient is the sum over parts of the batch."""
    return _plain(x, kernel, geometry)


def _in_parts_forward(
    x: jax.Array, kernel: jax.Array, geometry: Geometry
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _plain(x, kernel, geometry), (x, kernel)


def _in_parts_backward(
    geometry: Geometry, saved: tuple[jax.Array, jax.Array], dy: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = saved
    (dx,) = jax.vjp(lambda image: _plain(image, kernel, geometry), x)[1](dy)
    number = parts_of_the_batch(geometry, x.dtype.itemsize)

    def part(array: jax.Array, i: int) -> jax.Array:
        # Every number-th picture: a batch that is split over devices stays where it is.
        return array.reshape(-1, number, *array.shape[1:])[:, i]

    gradients = [
        jax.vjp(lambda own, i=i: _plain(part(x, i), own, geometry), kernel)[1](part(dy, i))[0]
        for i in range(number)
    ]
    return dx, sum(gradients[1:], gradients[0])


_in_parts.defvjp(_in_parts_forward, _in_parts_backward)


def parts_of_the_batch(geometry: Geometry, itemsize: int) -> int:
    """Into how many parts the batch is cut, so that the patches of one stay in the cache.

    None where that would take more than 16: deep layers have few, large patches, and gain nothing.
    """
    batch, height, width, _ = geometry.output
    kh, kw, channels, _ = geometry.kernel
    patches = batch * height * width * kh * kw * channels * itemsize
    if kh * kw == 1 or height * width < 256:  # measured: no gain from (16, 14, 14, 256) on
        return 1
    fits = [n for n in range(1, _MOST_PARTS + 1) if batch % n == 0]
    return next((n for n in fits if patches <= n * _PATCH_BYTES), fits[-1])
