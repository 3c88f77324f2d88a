"""Global second-order pooling. Gao, Xie, Wang, Li; CVPR 2019; arXiv:1811.12006.

    Z = relu(BN(conv_1x1(relu(x)))), C -> d, M positions;   S = (1 / M) sum_p (z_p - mean)(z_p - mean)^T
    t = four dot products with every row of BN(S), BN with one scale for each row
    w = sigmoid(W t + b), W: 4 d -> C;   y = x w

The channels are described by how they vary together. As in the authors' code (its channel attention, the
default of GSoP-Net1), the 1x1 convolution has a bias, which its norm cancels in training, and stride 2 in
bottlenecks with up to 64 planes, that is for C <= 256; no activation is between the row-wise layer and W.
d = 128 there, on C = 256 .. 2048; here d is at most C / 2, so that narrow networks get a bottleneck too. On a
1x1 map the covariance is zero, and the weights do not depend on x. GSoP-Net1 has stride 1 in the last stage,
which is the network's business; the paper's position attention is not here.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from chanattn.attention.functional import gate as gates
from chanattn.attention.functional.fuse import over_space
from chanattn.attention.module import Attention
from chanattn.attention.registry import register
from chanattn.attention.widths import WidthRule, width_rule
from chanattn.errors import UsageError
from chanattn.layers import BatchNorm, Conv, GroupedDense, dense

_WIDTH = 128
_STRIDED_CHANNELS = 256
_OUTPUTS = 4  # of the row-wise layer, for each row


def covariance(z: jax.Array) -> jax.Array:
    """Covariances (N, d, d) over the positions of (N, H, W, d), divided by H W; zero on a 1x1 map."""
    z = z.astype(jnp.float32).reshape(z.shape[0], -1, z.shape[-1])
    z = z - jnp.mean(z, axis=1, keepdims=True)
    return jnp.einsum("npi,npj->nij", z, z, precision=lax.Precision.HIGHEST) / z.shape[1]


@register(
    "gsop",
    year=2019,
    axes=("covariance of reduced channels", "row-wise layer, dense", "sigmoid"),
    citation="Gao, Xie, Wang, Li. Global Second-order Pooling Convolutional Networks. CVPR 2019. "
    "arXiv:1811.12006",
    parameters="C d + 9 d + 4 d^2 + 4 d C + C",
)
class GSoP(Attention):
    """Weights from the covariances of the channels.

    d = 128, at most C / 2. 0.5 at zero logits.

    Attributes:
        reduction: r of d = C / r, as are the next four of this rule; None: d = 128, at most C / 2.
        width: d itself, whatever C is.
        rounding: As in `SE`; None: "paper".
        divisor: Of "timm" and "mobile"; None: 8.
        min_width: Least d; None: 1, or the divisor.
        reduce_stride: Stride of the 1x1 convolution; None: 2 up to C = 256, else 1.
        gate: A soft or hard gate of `functional.gate`.
    """

    reduction: int | None = None
    width: int | None = None
    rounding: str | None = None
    divisor: int | None = None
    min_width: int | None = None
    reduce_stride: int | None = None
    gate: str | gates.Gate = "sigmoid"

    def __post_init__(self) -> None:
        if self.reduce_stride is not None and self.reduce_stride < 1:
            raise UsageError(f"gsop: reduce_stride must be positive, not {self.reduce_stride}")
        for option in ("rounding", "divisor", "min_width"):
            if self.reduction is None and getattr(self, option) is not None:
                raise UsageError(
                    f"gsop: {option} is of the rule C / reduction; give a reduction too"
                )
        self._width_rule()
        super().__post_init__()

    @nn.nowrap
    def _width_rule(self) -> WidthRule:
        rule = width_rule(
            self.rounding or "paper",
            1 if self.reduction is None else self.reduction,
            owner="gsop",
            width=self.width,
            divisor=self.divisor,
            min_width=self.min_width,
        )
        if self.reduction is None and self.width is None:
            return lambda channels: max(min(_WIDTH, channels // 2), 1)
        return rule

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Reweigh the channels of (N, H, W, C); the shape and the type stay."""
        x = self.feature_map(x)
        channels = x.shape[-1]
        width = self._width_rule()(channels)
        stride = self.reduce_stride or (2 if channels <= _STRIDED_CHANNELS else 1)
        own = {"param_dtype": self.param_dtype}
        z = Conv(width, 1, stride, use_bias=True, dtype=x.dtype, name="reduce", **own)(nn.relu(x))
        z = nn.relu(BatchNorm(train, name="bn", dtype=x.dtype, **own)(z))

        # The norm is over the rows, so they go last; the matrix is symmetric, so they already are.
        rows = BatchNorm(train, name="row_bn", **own)(covariance(z))
        rows = jnp.swapaxes(rows, 1, 2).reshape(-1, width * width)
        t = GroupedDense(_OUTPUTS * width, groups=width, name="rows", **own)(rows)
        logits = dense(channels, name="expand", **own)(t)
        weights = self.weigh(logits, train)
        return x * over_space(weights, x)
