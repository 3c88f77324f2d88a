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

from functools import partial
from typing import Any

import jax.numpy as jnp

from chanattn.attention import gate as gates
from chanattn.attention import mix, squeeze
from chanattn.attention.channel import OF_MIXES, channel
from chanattn.attention.core import ChannelAttention
from chanattn.attention.eca import CITATION, kernel_rule
from chanattn.attention.registry import preset, register
from chanattn.errors import UsageError

_UNUSED = dict.fromkeys(OF_MIXES)

preset(
    "se_var1",
    channel,
    """The sigmoid of each channel's mean: no parameters, no interaction between the channels.

    Parameters: 0
    """,
    fixed={"squeeze": "mean", "mix": "identity", "fuse": "scale"} | _UNUSED,
    axes=("mean", "none", "sigmoid"),
    year=2020,
    citation=CITATION,
)

preset(
    "se_var2",
    channel,
    """One learned factor for each channel's mean: no interaction between the channels.

    Parameters: C
    """,
    fixed={"squeeze": "mean", "mix": "per_channel", "fuse": "scale"} | _UNUSED,
    axes=("mean", "per-channel scale", "sigmoid"),
    year=2020,
    citation=CITATION,
)

preset(
    "se_var3",
    channel,
    """A full matrix between the means: every channel sees every other, without a bottleneck.

    Parameters: C^2
    """,
    fixed={"squeeze": "mean", "mix": "dense", "fuse": "scale"} | _UNUSED,
    axes=("mean", "dense", "sigmoid"),
    year=2020,
    citation=CITATION,
)


@register(
    "se_gc",
    year=2020,
    axes=("mean", "grouped dense", "sigmoid"),
    order_matters=True,
    citation=CITATION,
)
def se_gc(
    groups: int = 16,
    group_width: int | None = None,
    gate: str | gates.Gate = "sigmoid",
    param_dtype: Any = jnp.float32,
    **module: Any,
) -> ChannelAttention:
    """A block-diagonal matrix between the means: a channel sees those of its group.

    Parameters: C^2 / G

    G groups. 0.5 at zero logits.

    Args:
        groups: G; it divides C.
        group_width: Channels in a group, whatever `groups` is: G = C / group_width.
        gate: A soft or hard gate of `attention.gate`.
        param_dtype: Type of the parameters.
        **module: `name` and `parent` of the Flax module.

    Raises:
        UsageError: A number that is not positive. When called: one that does not divide C.
    """
    if groups < 1:
        raise UsageError(f"groups must be positive, not {groups}")
    if group_width is not None and group_width < 1:
        raise UsageError(f"group_width must be positive, not {group_width}")

    def groups_of(channels: int) -> int:
        if group_width is None:
            return groups
        if channels % group_width:
            raise UsageError(f"group_width={group_width} does not divide {channels} channels")
        return channels // group_width

    return ChannelAttention(
        squeeze=squeeze.mean,
        mix=partial(mix.Grouped, groups=groups_of, param_dtype=param_dtype),
        gate=gates.get(gate),
        **module,
    )


@register(
    "eca_ns",
    year=2020,
    axes=("mean", "band matrix over channels", "sigmoid"),
    order_matters=True,
    citation=CITATION,
)
def eca_ns(
    kernel_size: int | None = None,
    gamma: float = 2.0,
    b: float = 1.0,
    gate: str | gates.Gate = "sigmoid",
    param_dtype: Any = jnp.float32,
    **module: Any,
) -> ChannelAttention:
    """Efficient channel attention with taps of its own for every channel: a band matrix.

    Parameters: k C

    k from C by ECA's formula: 3 up to C = 64, 5 up to 1024, 7 at 2048. 0.5 at zero logits.

    Args:
        kernel_size: k, odd; None: from the number of channels by the formula.
        gamma: Slope of the formula.
        b: Offset of the formula.
        gate: A soft or hard gate of `attention.gate`.
        param_dtype: Type of the parameters.
        **module: `name` and `parent` of the Flax module.

    Raises:
        UsageError: k is even, or gamma not positive.
    """
    return ChannelAttention(
        squeeze=squeeze.mean,
        mix=partial(
            mix.Conv1d,
            kernel_size=kernel_rule(kernel_size, gamma, b),
            shared=False,
            param_dtype=param_dtype,
        ),
        gate=gates.get(gate),
        **module,
    )
