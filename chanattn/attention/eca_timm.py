"""Two relatives of ECA that timm added to it; no paper describes them.

    ceca      w_i = sigmoid(sum_j a_j s_{i+j mod C})                              (by Chris Ha)
    eca_mlp   w_i = sigmoid(b + sum_m sum_j A_jm relu(u_m s_{i+j} + c_m))         (`use_mlp=True`, "ecam")

with s = mean_p x_p, y = x w, and j = -(k-1)/2 .. (k-1)/2, k by ECA's formula. The channels of ceca form a
ring, so that those at the ends have neighbours too. eca_mlp lifts every statistic to d = C / 8 features,
rounded to a multiple of 8, with zeros of the features beyond both ends.

timm's cECA takes an activation, adds a bias if it is given one, and never applies it: that is `use_bias=True`
here.
"""

from typing import ClassVar

import flax.linen as nn
import jax

from chanattn.attention.eca import ECA, kernel_rule
from chanattn.attention.functional import gate as gates
from chanattn.attention.functional import squeeze
from chanattn.attention.functional.fuse import over_space
from chanattn.attention.mix import ConvBottleneck
from chanattn.attention.module import Attention
from chanattn.attention.registry import register
from chanattn.attention.widths import width_rule_of
from chanattn.layers import activation


@register(
    "ceca",
    year=2020,
    axes=("mean", "circular 1-D convolution over channels", "sigmoid"),
    parameters="k",
    order_matters=True,
    citation="Ha. Circular ECA module. In: Wightman. PyTorch Image Models, layers/eca.py. 2020",
)
class CECA(ECA):
    """Efficient channel attention over a ring of channels.

    Options, and k from C, as of `ECA`. 0.5 at zero logits. When called, a k > 2 C + 1 is refused, which would
    go round the ring more than once.
    """

    _circular: ClassVar[bool] = True


@register(
    "eca_mlp",
    year=2020,
    axes=("mean", "two 1-D convolutions over channels", "sigmoid"),
    parameters="k d + 2 d + 1",
    order_matters=True,
    citation="Wightman. PyTorch Image Models, layers/eca.py (use_mlp). 2020",
)
class ECAMLP(Attention):
    """Efficient channel attention with hidden features: lift, activation, 1-D convolution.

    d = C / 8 as a multiple of 8, at least 8 and never 10 % below C / 8; k as in ECA. 0.5 at zero logits.

    Attributes:
        reduction: r of the number of features d = C / r.
        width: d itself, whatever C is.
        rounding: As in `SE`.
        divisor: As in `SE`.
        min_width: As in `SE`.
        kernel_size: k, odd; None: from the number of channels by the formula.
        gamma: Slope of the formula.
        b: Offset of the formula.
        act: Activation of the features.
        gate: A soft or hard gate of `functional.gate`.

    Raises:
        UsageError: k is even, gamma or a width not positive, or the activation unknown.
    """

    reduction: int = 8
    width: int | None = None
    rounding: str = "mobile"
    divisor: int | None = None
    min_width: int | None = None
    kernel_size: int | None = None
    gamma: float = 2.0
    b: float = 1.0
    act: str = "relu"
    gate: str | gates.Gate = "sigmoid"

    def __post_init__(self) -> None:
        width_rule_of(self)
        kernel_rule(self.kernel_size, self.gamma, self.b)
        activation(self.act)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Reweigh the channels of (N, H, W, C)."""
        x = self.feature_map(x)
        s = squeeze.mean(x)
        layers = ConvBottleneck(
            width_rule_of(self),
            kernel_rule(self.kernel_size, self.gamma, self.b),
            self.act,
            self.param_dtype,
            name="mix",
        )
        w = self.weigh(layers(s), train)
        return x * over_space(w, x)
