"""Double attention (A2-Nets). Chen, Kalantidis, Li, Yan, Feng; NeurIPS 2018; arXiv:1810.11579.

    A = x W_A, (P, m);  B = softmax_p(x W_B), (P, n);  V = softmax_n(x W_V), (P, n)
    G = A^T B, (m, n): gather n descriptors of the whole map, each with its own weights over the positions
    Z = V G^T, (P, m): distribute, every position mixes the descriptors with its own weights
    y = x + Z W_Z

B sums to 1 over the positions, V over the n descriptors. The authors published no code; m = n = C / 4 as in
common ports, biases off as in the paper's equations. One of the ports (External-Attention) normalises B over
the descriptors instead of the positions, so that it gathers no means, and it leaves out the sum with x.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.attention.module import Attention, sow_weights
from chanattn.attention.registry import register
from chanattn.attention.widths import WidthRule, width_rule
from chanattn.errors import UsageError
from chanattn.layers import Conv


def gather(features: jax.Array, attention: jax.Array) -> jax.Array:
    """G = A^T B: (N, P, m) and weights (N, P, n) give n descriptors (N, m, n), in float32."""
    return jnp.einsum("npm,npk->nmk", features, attention, preferred_element_type=jnp.float32)


def distribute(descriptors: jax.Array, attention: jax.Array) -> jax.Array:
    """Z = V G^T: (N, m, n) and weights (N, P, n) give every position its mixture (N, P, m)."""
    return jnp.einsum("nmk,npk->npm", descriptors, attention)


@register(
    "double",
    year=2018,
    axes=("n attention-weighted means", "softmax over the means, for every position", "x + W z"),
    placement="stage_end",
    citation="Chen, Kalantidis, Li, Yan, Feng. A2-Nets: Double Attention Networks. NeurIPS 2018. "
    "arXiv:1810.11579",
    parameters="4 C d",
)
class DoubleAttention(Attention):
    """Gather descriptors of the whole map, then distribute them to every position.

    d = m = n = max(C / 4, 1).

    Attributes:
        reduction: r of the widths m = n = C / r.
        width: m itself, channels of a descriptor.
        rounding: As in `SE`, of m and n.
        divisor: Of "timm" and "mobile"; None: 8.
        min_width: Least m and n; None: 1, or the divisor.
        descriptors: n itself, the number of descriptors.
        use_bias: Biases of the four layers.
    """

    reduction: int = 4
    width: int | None = None
    rounding: str = "paper"
    divisor: int | None = None
    min_width: int | None = None
    descriptors: int | None = None
    use_bias: bool = False

    def __post_init__(self) -> None:
        if self.descriptors is not None and self.descriptors < 1:
            raise UsageError(f"double: descriptors must be positive, not {self.descriptors}")
        self._width_rule(self.width)
        super().__post_init__()

    @nn.nowrap
    def _width_rule(self, width: int | None = None) -> WidthRule:
        return width_rule(
            self.rounding,
            self.reduction,
            owner="double",
            width=width,
            divisor=self.divisor,
            min_width=self.min_width,
        )

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Add global context to every position of (N, H, W, C)."""
        x = self.feature_map(x)
        channels = x.shape[-1]
        m = self._width_rule(self.width)(channels)
        n = self.descriptors or self._width_rule()(channels)

        def project(features: int, name: str) -> jax.Array:
            layer = Conv(
                features,
                1,
                use_bias=self.use_bias,
                dtype=x.dtype,
                param_dtype=self.param_dtype,
                name=name,
            )
            return layer(x).reshape(x.shape[0], -1, features)

        over_positions = jax.nn.softmax(project(n, "gather").astype(jnp.float32), axis=1)
        over_descriptors = jax.nn.softmax(project(n, "distribute").astype(jnp.float32), axis=2)
        over_positions = sow_weights(self, over_positions, "gather_weights")
        over_descriptors = sow_weights(self, over_descriptors, "distribute_weights")
        context = gather(project(m, "features"), over_positions.astype(x.dtype)).astype(x.dtype)
        z = distribute(context, over_descriptors.astype(x.dtype))
        expand = Conv(
            channels,
            1,
            use_bias=self.use_bias,
            dtype=x.dtype,
            param_dtype=self.param_dtype,
            name="expand",
        )
        return x + expand(z.reshape(*x.shape[:-1], m))
