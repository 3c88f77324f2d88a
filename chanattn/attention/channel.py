"""The generic member: any squeeze with any mix, gate and fuse, for ablations that nobody has named.

s = squeeze(x);   z = mix(s);   w = gate(z);   y = fuse(x, w)
"""

from collections.abc import Callable

import flax.linen as nn
import jax

from chanattn.attention import mix as mixes
from chanattn.attention.functional import fuse as fuses
from chanattn.attention.functional import gate as gates
from chanattn.attention.functional import squeeze as squeezes
from chanattn.attention.functional.fuse import over_space
from chanattn.attention.module import Attention, refuse_unused
from chanattn.attention.registry import register

OF_MIXES = (
    *("reduction", "rounding", "width", "divisor", "min_width"),
    *("use_bias", "kernel_size", "groups"),
)
"""Options that some mixes take."""


@register(
    "channel",
    citation="none: the design space itself",
    axes=("any", "any", "any"),
    parameters="2 C d + C + d",
)
class ChannelAttention(Attention):
    """Any squeeze, mix, gate and fuse.

    By default it is `SE`, with d = max(C // 16, 1).

    Attributes:
        squeeze: A name of `functional.squeeze`, or several joined by "+"; or a function from (N, H, W, C) to
            (N, C), (N, K, C) or the map itself.
        mix: identity, bottleneck, dense, grouped, per_channel, conv1d or band; or what makes the module
            from the descriptor to logits, `mix(name="mix")(s, train=train)`.
        gate: A name of `functional.gate`, or a function from logits to weights.
        fuse: scale (x w), residual (x (1 + w)) or add (x + w); or a function of x and w.
        reduction: bottleneck: r of d = C / r (16).
        rounding: bottleneck: "paper", "timm" or "mobile" ("paper").
        width: bottleneck: d itself.
        divisor: bottleneck: what d is a multiple of with "timm" and "mobile" (8).
        min_width: bottleneck: least d (1, or the divisor).
        use_bias: bottleneck, dense, per_channel, conv1d: whether there are biases.
        kernel_size: conv1d, band: taps (3).
        groups: grouped: number of blocks.

    Raises:
        UsageError: An unknown name, or an option that the mix does not take or needs and lacks.
    """

    squeeze: str | squeezes.Squeeze = "mean"
    mix: str | Callable[..., nn.Module] = "bottleneck"
    gate: str | gates.Weighing = "sigmoid"
    fuse: str | fuses.Fuse = "scale"
    reduction: int | None = None
    rounding: str | None = None
    width: int | None = None
    divisor: int | None = None
    min_width: int | None = None
    use_bias: bool | None = None
    kernel_size: int | None = None
    groups: int | None = None

    def __post_init__(self) -> None:
        self._squeeze()
        self._mix()(parent=None)  # which checks its options
        gates.of(self)
        self._fuse()
        super().__post_init__()

    @nn.nowrap
    def _squeeze(self) -> squeezes.Squeeze:
        return squeezes.get(self.squeeze) if isinstance(self.squeeze, str) else self.squeeze

    @nn.nowrap
    def _mix(self) -> Callable[..., nn.Module]:
        if not isinstance(self.mix, str):
            refuse_unused(self, "channel: a mix of your own", *OF_MIXES)
            return self.mix
        chosen = {option: getattr(self, option) for option in OF_MIXES}
        given = {option: value for option, value in chosen.items() if value is not None}
        return mixes.get(self.mix, param_dtype=self.param_dtype, **given)

    @nn.nowrap
    def _fuse(self) -> fuses.Fuse:
        return fuses.get(self.fuse) if isinstance(self.fuse, str) else self.fuse

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Reweigh the channels of (N, H, W, C); the shape and the type stay."""
        x = self.feature_map(x)
        s = self._squeeze()(x)
        z = self._mix()(name="mix")(s, train=train)
        w = self.weigh(z, train)
        return self._fuse()(x, over_space(w, x))
