"""FcaNet: frequency channel attention. Qin, Zhang, Wu, Li; ICCV 2021; arXiv:2012.11879.

The channels fall into n contiguous groups, and group i is squeezed by one component (u_i, v_i) of the
two-dimensional discrete cosine transform:

    s_c = sum_hw x_hwc B_u(h) B_v(w),   B_u(h) = cos(pi u (h + 1/2) / H) / sqrt(H), times sqrt(2) for u > 0
    w = sigmoid(W2 relu(W1 s)),  W1: C -> d, W2: d -> C, no biases;   y = x w

u runs along the height. The component (0, 0) is sqrt(H W) times the mean, so n = 1 is not numerically SE.

Components are counted on a 7x7 grid, u and v from 0 to 6. "top" ranks them by the accuracy that each
reaches alone on ImageNet, best first, "bot" worst first, "low" by frequency. On an H_dct x W_dct grid
they are multiplied by H_dct // 7 and W_dct // 7, which keeps the relative frequency; on a grid below 7,
which only `grid` can ask for, all of them collapse to (0, 0), as in the authors' code.

The authors fix the grid of each stage to the map's size on 224 px pictures, H_dct = 56, 28, 14, 7, and
pool a map of another size adaptively to it. Here the default grid is the map's own size, at least 7: the
same numbers at 224 px, 32, 16, 8 on CIFAR; smaller maps are pooled up to 7. `grid` sets one grid for all
stages. `basis="learned"` makes the (H_dct, W_dct, C) basis a parameter that starts from the cosines (the
paper's learned tensor with DCT initialisation); its default grid comes from the map at initialisation,
and maps of another size are pooled to it.

The controls of the authors' README have uniform random numbers in [0, 1) in place of the cosines, drawn
at initialisation: "random" stays as it was drawn and is kept with the running statistics,
"learned_random" learns. They are no orthonormal basis: the sum over P positions grows with P, and the
sigmoid saturates.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from chanattn.attention import gate as gates
from chanattn.attention import mix
from chanattn.attention.core import ChannelAttention
from chanattn.attention.registry import register
from chanattn.attention.widths import width_rule
from chanattn.errors import UsageError
from chanattn.layers.pool import adaptive_avg_pool

Component = tuple[int, int]

BASES = ("fixed", "learned", "random", "learned_random")

_SIDE = 7

# Rows of (u, v) in the order of the authors' model/layer.py (github.com/cfzd/FcaNet).
_RANKINGS: dict[str, str] = {
    "top": "00 01 60 05 02 10 12 40 50 16 30 04 06 03 35 22 46 63 33 53 55 21 61 52 54 32 31 41 23 20 65 13",
    "low": "00 01 10 11 02 20 21 12 22 03 30 40 04 13 31 05 14 23 32 41 50 06 15 24 33 42 51 60 16 25 34 43",
    "bot": "66 14 34 36 26 43 11 24 44 45 56 15 42 62 25 51 64 13 65 20 23 41 31 32 54 52 61 21 55 53 33 63",
}


def components(frequencies: str) -> tuple[Component, ...]:
    """Components (u, v) on the 7x7 grid: "top16" the first 16 of that ranking, "0,1" a single one.

    Raises:
        UsageError: There is no such thing.
    """
    ranking, count = frequencies[:3], frequencies[3:]
    if ranking in _RANKINGS and count.isdecimal() and 1 <= int(count) <= 32:
        return tuple(
            (int(pair[0]), int(pair[1])) for pair in _RANKINGS[ranking].split()[: int(count)]
        )
    u, _, v = frequencies.partition(",")
    single = [int(index) for index in (u, v) if index.isdecimal() and int(index) < _SIDE]
    if len(single) != 2:
        raise UsageError(
            f"fca: unknown frequencies {frequencies!r}; valid: top, low or bot with a number from 1 to 32 "
            "('top16'), or one component u,v with both from 0 to 6 ('0,1')"
        )
    return ((single[0], single[1]),)


def dct_basis(chosen: tuple[Component, ...], height: int, width: int) -> np.ndarray:
    """Basis (height, width, n) of the n components, spread from the 7x7 grid to this one."""
    rows = [_cosine(u * (height // _SIDE), height) for u, _ in chosen]
    columns = [_cosine(v * (width // _SIDE), width) for _, v in chosen]
    return np.einsum("nh,nw->hwn", rows, columns).astype(np.float32)


def _cosine(frequency: int, length: int) -> np.ndarray:
    wave = np.cos(np.pi * frequency * (np.arange(length) + 0.5) / length) / np.sqrt(length)
    return wave if frequency == 0 else wave * np.sqrt(2)


def project(x: jax.Array, basis: jax.Array | np.ndarray) -> jax.Array:
    """Descriptor (N, C) of (N, H, W, C): contiguous group i of the channels on component i of (H', W', n).

    A map of another size than H' x W' is pooled to it first.
    """
    height, width, count = basis.shape
    x = x.astype(jnp.float32)
    if x.shape[1:3] != (height, width):
        x = adaptive_avg_pool(x, (height, width))
    groups = x.reshape(*x.shape[:3], count, x.shape[-1] // count)
    return jnp.sum(groups * basis[..., None], axis=(1, 2)).reshape(x.shape[0], x.shape[-1])


def squeeze(
    x: jax.Array, chosen: tuple[Component, ...], grid: tuple[int, ...] | None = None
) -> jax.Array:
    """Descriptor (N, C) from the fixed basis on `grid`, or on the default one of the map."""
    _check_channels(x.shape[-1], len(chosen))
    height, width = grid or _default_grid(x)
    return project(x, dct_basis(chosen, height, width))


class StoredBasis(nn.Module):
    """The squeeze with a basis for every channel that is stored. H_dct W_dct C parameters, if they learn.

    Attributes:
        chosen: Components it starts from; none: it starts from random numbers.
        learned: Whether it is a parameter, or one of the running statistics that nothing changes.
        grid: Its size; None: that of the map at initialisation, at least 7.
        param_dtype: Type of the parameters.
    """

    chosen: tuple[Component, ...]
    learned: bool = True
    grid: tuple[int, ...] | None = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (N, H, W, C) to (N, C)."""
        channels, count = x.shape[-1], len(self.chosen)
        _check_channels(channels, max(count, 1))
        height, width = self.grid or _default_grid(x)
        collection = "params" if self.learned else "batch_stats"
        if self.has_variable(collection, "basis"):
            height, width = self.get_variable(collection, "basis").shape[:2]

        def init(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
            if not self.chosen:
                return jax.random.uniform(key, shape, dtype)
            start = dct_basis(self.chosen, height, width)
            return jnp.asarray(np.repeat(start, channels // count, axis=-1), dtype)

        shape = (height, width, channels)
        if self.learned:
            return project(x, self.param("basis", init, shape, self.param_dtype))
        drawn = self.variable(
            "batch_stats", "basis", lambda: init(self.make_rng("params"), shape, jnp.float32)
        )
        return project(x, drawn.value)


def _default_grid(x: jax.Array) -> tuple[int, int]:
    return max(x.shape[1], _SIDE), max(x.shape[2], _SIDE)


def _check_channels(channels: int, count: int) -> None:
    if channels % count:
        raise UsageError(
            f"fca: {count} frequencies do not divide {channels} channels; choose fewer of them"
        )


@register(
    "fca",
    year=2021,
    axes=("components of the cosine transform, by groups of channels", "bottleneck", "sigmoid"),
    order_matters=True,
    citation="Qin, Zhang, Wu, Li. FcaNet: Frequency Channel Attention Networks. ICCV 2021. arXiv:2012.11879",
)
def fca(
    frequencies: str | None = None,
    basis: str = "fixed",
    grid: tuple[int, ...] | None = None,
    reduction: int = 16,
    width: int | None = None,
    rounding: str = "paper",
    divisor: int | None = None,
    min_width: int | None = None,
    gate: str | gates.Gate = "sigmoid",
    param_dtype: Any = jnp.float32,
    **module: Any,
) -> ChannelAttention:
    """Squeeze-and-excitation on components of the cosine transform instead of the mean.

    Parameters: 2 C d

    d = max(C / 16, 1). 0.5 at zero logits. C must be a multiple of the number of frequencies.

    Args:
        frequencies: "top", "low" or "bot" with a number from 1 to 32, or one component "u,v" of the 7x7 grid;
            None: "top16".
        basis: "fixed" or "learned", of these frequencies, or "random" or "learned_random", of none. What is
            learned has H_dct W_dct C parameters more.
        grid: (H_dct, W_dct); None: the map's size, at least 7.
        reduction: r of the bottleneck width d = C / r.
        width: d itself, whatever C is.
        rounding: As in `se`.
        divisor: Of "timm" and "mobile"; None: 8.
        min_width: Least d; None: 1, or the divisor.
        gate: A soft or hard gate of `attention.gate`.
        param_dtype: Type of the parameters.
        **module: `name` and `parent` of the Flax module.

    Raises:
        UsageError: A value that there is no such thing as.
    """
    if basis not in BASES:
        raise UsageError(f"fca: unknown basis {basis!r}; valid: {', '.join(BASES)}")
    if frequencies is not None and basis.endswith("random"):
        raise UsageError(f"fca: basis {basis!r} has no frequencies; leave {frequencies!r} out")
    chosen = (
        ()
        if basis.endswith("random")
        else components("top16" if frequencies is None else frequencies)
    )
    if grid is not None and (len(grid) != 2 or min(grid) < 1):
        raise UsageError(f"fca: grid must be two positive numbers, height and width, not {grid}")
    return ChannelAttention(
        squeeze=partial(squeeze, chosen=chosen, grid=grid)
        if basis == "fixed"
        # Without a parent it becomes a submodule of the ChannelAttention, wherever this is called.
        else StoredBasis(chosen, basis.startswith("learned"), grid, param_dtype, parent=None),
        mix=partial(
            mix.Bottleneck,
            width=width_rule(
                rounding,
                reduction,
                owner="fca",
                width=width,
                divisor=divisor,
                min_width=min_width,
            ),
            use_bias=False,
            param_dtype=param_dtype,
        ),
        gate=gates.get(gate),
        **module,
    )
