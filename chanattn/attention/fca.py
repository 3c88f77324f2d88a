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

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from chanattn.attention import mix
from chanattn.attention.functional import fca as dct
from chanattn.attention.functional import gate as gates
from chanattn.attention.functional.fuse import over_space
from chanattn.attention.module import Attention
from chanattn.attention.registry import register
from chanattn.attention.widths import width_rule_of
from chanattn.errors import UsageError

BASES = ("fixed", "learned", "random", "learned_random")


def squeeze(
    x: jax.Array, chosen: tuple[dct.Component, ...], grid: tuple[int, ...] | None = None
) -> jax.Array:
    """Descriptor (N, C) from the fixed basis on `grid`, or on the default one of the map."""
    _check_channels(x.shape[-1], len(chosen))
    height, width = grid or _default_grid(x)
    return dct.project(x, dct.basis(chosen, height, width))


class StoredBasis(nn.Module):
    """The squeeze with a basis for every channel that is stored. H_dct W_dct C parameters, if they learn.

    Attributes:
        chosen: Components it starts from; none: it starts from random numbers.
        learned: Whether it is a parameter, or one of the running statistics that nothing changes.
        grid: Its size; None: that of the map at initialisation, at least 7.
        param_dtype: Type of the parameters.
    """

    chosen: tuple[dct.Component, ...]
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
            start = dct.basis(self.chosen, height, width)
            return jnp.asarray(np.repeat(start, channels // count, axis=-1), dtype)

        shape = (height, width, channels)
        if self.learned:
            return dct.project(x, self.param("basis", init, shape, self.param_dtype))
        drawn = self.variable(
            "batch_stats", "basis", lambda: init(self.make_rng("params"), shape, jnp.float32)
        )
        return dct.project(x, drawn.value)


def _default_grid(x: jax.Array) -> tuple[int, int]:
    return max(x.shape[1], dct.SIDE), max(x.shape[2], dct.SIDE)


def _check_channels(channels: int, count: int) -> None:
    if channels % count:
        raise UsageError(
            f"fca: {count} frequencies do not divide {channels} channels; choose fewer of them"
        )


@register(
    "fca",
    year=2021,
    axes=("components of the cosine transform, by groups of channels", "bottleneck", "sigmoid"),
    parameters="2 C d",
    order_matters=True,
    citation="Qin, Zhang, Wu, Li. FcaNet: Frequency Channel Attention Networks. ICCV 2021. arXiv:2012.11879",
)
class FCA(Attention):
    """Squeeze-and-excitation on components of the cosine transform instead of the mean.

    d = max(C / 16, 1). 0.5 at zero logits. C must be a multiple of the number of frequencies.

    Attributes:
        frequencies: "top", "low" or "bot" with a number from 1 to 32, or one component "u,v" of the 7x7 grid;
            None: "top16".
        basis: "fixed" or "learned", of these frequencies, or "random" or "learned_random", of none. What is
            learned has H_dct W_dct C parameters more.
        grid: (H_dct, W_dct); None: the map's size, at least 7.
        reduction: r of the bottleneck width d = C / r.
        width: d itself, whatever C is.
        rounding: As in `SE`.
        divisor: Of "timm" and "mobile"; None: 8.
        min_width: Least d; None: 1, or the divisor.
        gate: A soft or hard gate of `functional.gate`.

    Raises:
        UsageError: A basis, component, grid or gate that does not exist, or a number that is not positive.
            When called: C is no multiple of the number of frequencies.
    """

    frequencies: str | None = None
    basis: str = "fixed"
    grid: tuple[int, ...] | None = None
    reduction: int = 16
    width: int | None = None
    rounding: str = "paper"
    divisor: int | None = None
    min_width: int | None = None
    gate: str | gates.Gate = "sigmoid"

    def __post_init__(self) -> None:
        if self.basis not in BASES:
            raise UsageError(f"fca: unknown basis {self.basis!r}; valid: {', '.join(BASES)}")
        if self.frequencies is not None and self.basis.endswith("random"):
            raise UsageError(
                f"fca: basis {self.basis!r} has no frequencies; leave {self.frequencies!r} out"
            )
        if self.grid is not None and (len(self.grid) != 2 or min(self.grid) < 1):
            raise UsageError(
                f"fca: grid must be two positive numbers, height and width, not {self.grid}"
            )
        self._components()
        width_rule_of(self, "fca")
        super().__post_init__()

    @nn.nowrap
    def _components(self) -> tuple[dct.Component, ...]:
        return (
            ()
            if self.basis.endswith("random")
            else dct.components("top16" if self.frequencies is None else self.frequencies)
        )

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Reweigh the channels of (N, H, W, C)."""
        x = self.feature_map(x)
        own = {"param_dtype": self.param_dtype}
        chosen = self._components()
        if self.basis == "fixed":
            s = squeeze(x, chosen, self.grid)
        else:
            learned = self.basis.startswith("learned")
            s = StoredBasis(chosen, learned, self.grid, **own, name="squeeze")(x)
        bottleneck = mix.Bottleneck(width_rule_of(self, "fca"), use_bias=False, **own, name="mix")
        w = self.weigh(bottleneck(s, train), train)
        return x * over_space(w, x)
