"""The generic member: any squeeze with any mix, gate and fuse, for ablations that nobody has named."""

from typing import Any

import jax.numpy as jnp

from chanattn.attention import gate as gates
from chanattn.attention import mix as mixes
from chanattn.attention import squeeze as squeezes
from chanattn.attention.core import ChannelAttention, get_fuse
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
)
def channel(
    squeeze: str = "mean",
    mix: str = "bottleneck",
    gate: str | gates.Gate = "sigmoid",
    fuse: str = "scale",
    reduction: int | None = None,
    rounding: str | None = None,
    width: int | None = None,
    divisor: int | None = None,
    min_width: int | None = None,
    use_bias: bool | None = None,
    kernel_size: int | None = None,
    groups: int | None = None,
    param_dtype: Any = jnp.float32,
    **module: Any,
) -> ChannelAttention:
    """Any squeeze, mix, gate and fuse.

    Parameters: 2 C d + C + d

    By default it is `se`, with d = max(C // 16, 1).

    Args:
        squeeze: A name of `attention.squeeze`, or several joined by "+".
        mix: identity, bottleneck, dense, grouped, per_channel, conv1d or band.
        gate: A name of `attention.gate`.
        fuse: scale (x w), residual (x (1 + w)) or add (x + w).
        reduction: bottleneck: r of d = C / r (16).
        rounding: bottleneck: "paper", "timm" or "mobile" ("paper").
        width: bottleneck: d itself.
        divisor: bottleneck: what d is a multiple of with "timm" and "mobile" (8).
        min_width: bottleneck: least d (1, or the divisor).
        use_bias: bottleneck, dense, per_channel, conv1d: whether there are biases.
        kernel_size: conv1d, band: taps (3).
        groups: grouped: number of blocks.
        param_dtype: Type of the parameters.
        **module: `name` and `parent` of the Flax module.

    Raises:
        UsageError: An unknown name, or an option that the mix does not take or needs and lacks.
    """
    chosen = {
        "reduction": reduction,
        "rounding": rounding,
        "width": width,
        "divisor": divisor,
        "min_width": min_width,
        "use_bias": use_bias,
        "kernel_size": kernel_size,
        "groups": groups,
    }
    given = {name: value for name, value in chosen.items() if value is not None}
    return ChannelAttention(
        squeeze=squeezes.get(squeeze),
        mix=mixes.get(mix, param_dtype=param_dtype, **given),
        gate=gates.get(gate),
        fuse=get_fuse(fuse),
        **module,
    )
