"""SE without the bottleneck: the excitations of Table 2 of the ECA paper.

Wang, Wu, Zhu, Li, Zuo, Hu; CVPR 2020; arXiv:1910.03151.

    s = mean_p x_p;   w = sigmoid(z);   y = x w

    se_var1   z = s                                         no parameters
    se_var2   z_i = a_i s_i                                 C
    se_var3   z = W s                                       C^2
    se_gc     z = W s, W block-diagonal with G blocks       C^2 / G
    eca_ns    z_i = sum_j a_ij s_{i+j}, a band matrix       k C

No biases. In the same table, `se` has two layers between s and z, and `eca` one row of taps for all channels.
The paper's SE-GC1 has 16 groups, SE-GC2 C / 16 groups (`group_width=16`), SE-GC3 C / 8 groups
(`group_width=8`). One group makes se_gc se_var3, C groups make it se_var2.

Of these, eca_ns alone has official code: zeros beyond both ends, and an explicit kernel size, which follows
ECA's formula here. The others are given by their equations; they start as the layers do here: a = 1 in
se_var2, normal W in se_var3 and se_gc.
"""

import flax.linen as nn
import jax

from chanattn.attention import mix
from chanattn.attention.eca import CITATION, kernel_rule
from chanattn.attention.functional import gate as gates
from chanattn.attention.functional import squeeze
from chanattn.attention.functional.fuse import over_space
from chanattn.attention.module import Attention
from chanattn.attention.registry import register
from chanattn.errors import UsageError


@register("se_var1", year=2020, axes=("mean", "none", "sigmoid"), parameters="0", citation=CITATION)
class SEVar1(Attention):
    """The sigmoid of each channel's mean: no parameters, no interaction between the channels.

    Attributes:
        gate: A soft or hard gate of `functional.gate`.
    """

    gate: str | gates.Gate = "sigmoid"

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Reweigh the channels of (N, H, W, C)."""
        x = self.feature_map(x)
        w = self.weigh(squeeze.mean(x), train)
        return x * over_space(w, x)


@register(
    "se_var2",
    year=2020,
    axes=("mean", "per-channel scale", "sigmoid"),
    parameters="C",
    citation=CITATION,
)
class SEVar2(Attention):
    """One learned factor for each channel's mean: no interaction between the channels.

    Attributes:
        gate: A soft or hard gate of `functional.gate`.
    """

    gate: str | gates.Gate = "sigmoid"

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Reweigh the channels of (N, H, W, C)."""
        x = self.feature_map(x)
        z = mix.PerChannel(param_dtype=self.param_dtype, name="mix")(squeeze.mean(x))
        w = self.weigh(z, train)
        return x * over_space(w, x)


@register(
    "se_var3", year=2020, axes=("mean", "dense", "sigmoid"), parameters="C^2", citation=CITATION
)
class SEVar3(Attention):
    """A full matrix between the means: every channel sees every other, without a bottleneck.

    Attributes:
        gate: A soft or hard gate of `functional.gate`.
    """

    gate: str | gates.Gate = "sigmoid"

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Reweigh the channels of (N, H, W, C)."""
        x = self.feature_map(x)
        z = mix.Dense(param_dtype=self.param_dtype, name="mix")(squeeze.mean(x))
        w = self.weigh(z, train)
        return x * over_space(w, x)


@register(
    "se_gc",
    year=2020,
    axes=("mean", "grouped dense", "sigmoid"),
    parameters="C^2 / G",
    order_matters=True,
    citation=CITATION,
)
class SEGC(Attention):
    """A block-diagonal matrix between the means: a channel sees those of its group.

    G groups. 0.5 at zero logits.

    Attributes:
        groups: G; it divides C.
        group_width: Channels in a group, whatever `groups` is: G = C / group_width.
        gate: A soft or hard gate of `functional.gate`.

    Raises:
        UsageError: A number that is not positive. When called: one that does not divide C.
    """

    groups: int = 16
    group_width: int | None = None
    gate: str | gates.Gate = "sigmoid"

    def __post_init__(self) -> None:
        if self.groups < 1:
            raise UsageError(f"groups must be positive, not {self.groups}")
        if self.group_width is not None and self.group_width < 1:
            raise UsageError(f"group_width must be positive, not {self.group_width}")
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Reweigh the channels of (N, H, W, C)."""
        x = self.feature_map(x)
        blocks = mix.Grouped(self._count(x.shape[-1]), self.param_dtype, name="mix")
        w = self.weigh(blocks(squeeze.mean(x)), train)
        return x * over_space(w, x)

    @nn.nowrap
    def _count(self, channels: int) -> int:
        if self.group_width is None:
            return self.groups
        if channels % self.group_width:
            raise UsageError(f"group_width={self.group_width} does not divide {channels} channels")
        return channels // self.group_width


@register(
    "eca_ns",
    year=2020,
    axes=("mean", "band matrix over channels", "sigmoid"),
    parameters="k C",
    order_matters=True,
    citation=CITATION,
)
class ECANS(Attention):
    """Efficient channel attention with taps of its own for every channel: a band matrix.

    k from C by ECA's formula: 3 up to C = 64, 5 up to 1024, 7 at 2048. 0.5 at zero logits.

    Attributes:
        kernel_size: k, odd; None: from the number of channels by the formula.
        gamma: Slope of the formula.
        b: Offset of the formula.
        gate: A soft or hard gate of `functional.gate`.

    Raises:
        UsageError: k is even, or gamma not positive.
    """

    kernel_size: int | None = None
    gamma: float = 2.0
    b: float = 1.0
    gate: str | gates.Gate = "sigmoid"

    def __post_init__(self) -> None:
        kernel_rule(self.kernel_size, self.gamma, self.b)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Reweigh the channels of (N, H, W, C)."""
        x = self.feature_map(x)
        band = mix.Conv1d(
            kernel_rule(self.kernel_size, self.gamma, self.b),
            shared=False,
            param_dtype=self.param_dtype,
            name="mix",
        )
        w = self.weigh(band(squeeze.mean(x)), train)
        return x * over_space(w, x)
