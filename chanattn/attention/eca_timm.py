"""Two relatives of ECA that timm added to it; no paper describes them.

    ceca      w_i = sigmoid(sum_j a_j s_{i+j mod C})                              (by Chris Ha)
    eca_mlp   w_i = sigmoid(b + sum_m sum_j A_jm relu(u_m s_{i+j} + c_m))         (`use_mlp=True`, "ecam")

with s = mean_p x_p, y = x w, and j = -(k-1)/2 .. (k-1)/2, k by ECA's formula. The channels of ceca form a
ring, so that those at the ends have neighbours too. eca_mlp lifts every statistic to d = C / 8 features,
rounded to a multiple of 8, with zeros of the features beyond both ends.

timm's cECA takes an activation, adds a bias if it is given one, and never applies it: that is `use_bias=True`
here.
"""

from functools import partial
from typing import Any

import jax.numpy as jnp

from chanattn.attention import gate as gates
from chanattn.attention import squeeze
from chanattn.attention.core import ChannelAttention
from chanattn.attention.eca import kernel_rule
from chanattn.attention.mix import Conv1d, ConvBottleneck
from chanattn.attention.registry import register
from chanattn.attention.widths import width_rule
from chanattn.layers import activation


@register(
    "ceca",
    year=2020,
    axes=("mean", "circular 1-D convolution over channels", "sigmoid"),
    order_matters=True,
    citation="Ha. Circular ECA module. In: Wightman. PyTorch Image Models, layers/eca.py. 2020",
)
def ceca(
    kernel_size: int | None = None,
    gamma: float = 2.0,
    b: float = 1.0,
    use_bias: bool = False,
    gate: str | gates.Gate = "sigmoid",
    param_dtype: Any = jnp.float32,
    **module: Any,
) -> ChannelAttention:
    """Efficient channel attention over a ring of channels.

    Parameters: k

    k from C by ECA's formula: 3 up to C = 64, 5 up to 1024, 7 at 2048. 0.5 at zero logits.

    Args:
        kernel_size: k, odd; None: from the number of channels by the formula.
        gamma: Slope of the formula.
        b: Offset of the formula.
        use_bias: One number is added to all logits.
        gate: A soft or hard gate of `attention.gate`.
        param_dtype: Type of the parameters.
        **module: `name` and `parent` of the Flax module.

    Raises:
        UsageError: k is even, or gamma not positive. When called: k > 2 C + 1, more than once round the ring.
    """
    return ChannelAttention(
        squeeze=squeeze.mean,
        mix=partial(
            Conv1d,
            kernel_size=kernel_rule(kernel_size, gamma, b),
            circular=True,
            use_bias=use_bias,
            param_dtype=param_dtype,
        ),
        gate=gates.get(gate),
        **module,
    )


@register(
    "eca_mlp",
    year=2020,
    axes=("mean", "two 1-D convolutions over channels", "sigmoid"),
    order_matters=True,
    citation="Wightman. PyTorch Image Models, layers/eca.py (use_mlp). 2020",
)
def eca_mlp(
    reduction: int = 8,
    width: int | None = None,
    rounding: str = "mobile",
    divisor: int | None = None,
    min_width: int | None = None,
    kernel_size: int | None = None,
    gamma: float = 2.0,
    b: float = 1.0,
    act: str = "relu",
    gate: str | gates.Gate = "sigmoid",
    param_dtype: Any = jnp.float32,
    **module: Any,
) -> ChannelAttention:
    """Efficient channel attention with hidden features: lift, activation, 1-D convolution.

    Parameters: k d + 2 d + 1

    d = C / 8 as a multiple of 8, at least 8 and never 10 % below C / 8; k as in ECA. 0.5 at zero logits.

    Args:
        reduction: r of the number of features d = C / r.
        width: d itself, whatever C is.
        rounding: As in `se`.
        divisor: As in `se`.
        min_width: As in `se`.
        kernel_size: k, odd; None: from the number of channels by the formula.
        gamma: Slope of the formula.
        b: Offset of the formula.
        act: Activation of the features.
        gate: A soft or hard gate of `attention.gate`.
        param_dtype: Type of the parameters.
        **module: `name` and `parent` of the Flax module.

    Raises:
        UsageError: k is even, gamma or a width not positive, or the activation unknown.
    """
    activation(act)
    return ChannelAttention(
        squeeze=squeeze.mean,
        mix=partial(
            ConvBottleneck,
            width=width_rule(
                rounding, reduction, width=width, divisor=divisor, min_width=min_width
            ),
            kernel_size=kernel_rule(kernel_size, gamma, b),
            act=act,
            param_dtype=param_dtype,
        ),
        gate=gates.get(gate),
        **module,
    )
