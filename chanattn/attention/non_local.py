"""Non-local block. Wang, Girshick, Gupta, He; CVPR 2018; arXiv:1711.07971.

    T = x W_T, S = x W_S, G = x W_G, each (P, d);   A = softmax_q(f T S^T), (P, P)
    y = x + BN((A G) W_Z)

The baseline from which global context, double attention and bilinear transforms start. All layers have
biases; the norm's scale starts at 0, so that the block starts as the identity.

    preset      width d                         factor f        place
    official    C / 2                           1 / sqrt(d)     between blocks
    timm        C / 8 to a multiple of 8        1 / sqrt(C)     where SE sits

"official" is the image classification code of Chi et al. (CVPR 2020, see `bat.py`), after that of the
authors; timm adapts the former. The paper's embedded Gaussian has no factor (`use_scale=False`). Time and
memory grow with P^2: at 56 x 56 A has 9.8 million entries a picture. The bias of W_S adds the same to a whole
row of the softmax, so its gradient is zero.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.attention.module import Attention, sow_weights
from chanattn.attention.registry import register
from chanattn.attention.widths import WidthRule, width_rule
from chanattn.errors import UsageError
from chanattn.layers import BatchNorm, Conv, softmax

PRESETS = {"official": 2, "timm": 8}  # the default reduction


def affinities(query: jax.Array, key: jax.Array, factor: float) -> jax.Array:
    """Softmax over q of factor <query_p, key_q>: (N, P, d) twice gives (N, P, P), in float32."""
    logits = jnp.einsum("npd,nqd->npq", query, key, preferred_element_type=jnp.float32)
    return softmax(factor * logits, axis=-1)


@register(
    "non_local",
    year=2018,
    axes=("attention over all positions, for every position", "three projections", "x + BN(W z)"),
    placement="after_sum",
    identity_at_init=True,
    citation="Wang, Girshick, Gupta, He. Non-local Neural Networks. CVPR 2018. arXiv:1711.07971",
    parameters="4 C d + 3 d + 3 C",
)
class NonLocal(Attention):
    """Self-attention among positions, added to the map.

    d = C / 2. The identity at initialisation.

    Attributes:
        preset: "official" or "timm", see the head of this file.
        reduction: r of the inner width d = C / r; None: 2, with preset "timm" 8.
        width: d itself, whatever C is.
        rounding: As in `SE`; None: the preset's.
        divisor: Of "timm" and "mobile"; None: 8.
        min_width: Least d; None: 1, or the divisor.
        use_scale: Multiply the inner products by f.
    """

    preset: str = "official"
    reduction: int | None = None
    width: int | None = None
    rounding: str | None = None
    divisor: int | None = None
    min_width: int | None = None
    use_scale: bool = True

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise UsageError(
                f"non_local: unknown preset {self.preset!r}; valid: {', '.join(PRESETS)}"
            )
        self._width_rule()
        super().__post_init__()

    @nn.nowrap
    def _width_rule(self) -> WidthRule:
        return width_rule(
            self.rounding or ("paper" if self.preset == "official" else "timm"),
            PRESETS[self.preset] if self.reduction is None else self.reduction,
            owner="non_local",
            width=self.width,
            divisor=self.divisor,
            min_width=self.min_width,
            keep=0.9,
        )

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Add to every position of (N, H, W, C) a mixture of all."""
        x = self.feature_map(x)
        channels = x.shape[-1]
        width = self._width_rule()(channels)
        scaled_by = width if self.preset == "official" else channels
        types = {"dtype": x.dtype, "param_dtype": self.param_dtype}

        def project(name: str) -> jax.Array:
            y = Conv(width, 1, use_bias=True, name=name, **types)(x)
            return y.reshape(x.shape[0], -1, width)

        factor = scaled_by**-0.5 if self.use_scale else 1.0
        weights = affinities(project("query"), project("key"), factor)
        weights = sow_weights(self, weights)
        mixed = jnp.einsum("npq,nqd->npd", weights.astype(x.dtype), project("value"))
        z = Conv(channels, 1, use_bias=True, name="expand", **types)(
            mixed.reshape(*x.shape[:-1], width)
        )
        return x + BatchNorm(train, name="norm", scale_init=nn.initializers.zeros, **types)(z)
