"""EncNet: context encoding. Zhang, Dana, Shi, Zhang, Wang, Tyagi, Agrawal; CVPR 2018; arXiv:1803.08904.

    X = relu(BN(conv_1x1(x)))                                   P features x_i in R^C
    a_ik = softmax over k of s_k |x_i - d_k|^2                  soft assignment to K codewords d_k
    e_k = sum_i a_ik (x_i - d_k);   e = mean_k relu(BN(e_k))    BN with one scale for each k
    w = sigmoid(W e + b);   y = relu(x (1 + w))

SE-loss: V e + c are logits of which classes are present, trained by binary cross-entropy with weight 0.2.
They are sown in the collection `presence`, from which the training step makes that loss.

Defaults: K = 32; codewords start uniform in +-1 / sqrt(K C), s_k in (-1, 0). The paper writes exp(-s_k ...)
where the code has no minus sign and starts s_k negative: the same function. The code averages relu(BN(e_k))
over the codewords (`preset="official"`, the default), the paper adds them (`preset="paper"`). The authors use
the module once, in a segmentation head with C = 512, hence the placement "head".
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from chanattn.attention.functional import gate as gates
from chanattn.attention.functional.fuse import over_space, residual
from chanattn.attention.module import Attention
from chanattn.attention.registry import register
from chanattn.errors import UsageError
from chanattn.layers import BatchNorm, Conv, dense, softmax

PRESETS = {"official": jnp.mean, "paper": jnp.sum}


def assign(x: jax.Array, codewords: jax.Array, scale: jax.Array) -> jax.Array:
    """Soft assignment (N, P, K) of the features (N, P, D) to the codewords (K, D), summing to 1 over K."""
    # |x - d|^2 = |x|^2 - 2 x d + |d|^2 needs no array of P K D numbers, but all digits of the product.
    product = jnp.einsum("npd,kd->npk", x, codewords, precision=lax.Precision.HIGHEST)
    lengths = jnp.sum(jnp.square(x), axis=-1, keepdims=True)
    distance = lengths - 2 * product + jnp.sum(jnp.square(codewords), axis=-1)
    return softmax(scale * distance, axis=-1)


def aggregate(weights: jax.Array, x: jax.Array, codewords: jax.Array) -> jax.Array:
    """e_k = sum_i a_ik (x_i - d_k): residuals (N, K, D) of the features (N, P, D) with weights (N, P, K)."""
    total = jnp.einsum("npk,npd->nkd", weights, x, precision=lax.Precision.HIGHEST)
    return total - jnp.sum(weights, axis=1)[..., None] * codewords


class Encoding(nn.Module):
    """Residual encoding of a set of features with learnt codewords. K D + K parameters.

    Attributes:
        codes: Number of codewords K.
        param_dtype: Type of the parameters.
    """

    codes: int = 32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Encode (N, H, W, D) as (N, K, D), in float32."""
        depth = x.shape[-1]
        codewords = self.param(
            "codewords",
            _uniform(-1.0, 1.0, (self.codes * depth) ** -0.5),
            (self.codes, depth),
            self.param_dtype,
        )
        scale = self.param("scale", _uniform(-1.0, 0.0), (self.codes,), self.param_dtype)
        features = x.astype(jnp.float32).reshape(x.shape[0], -1, depth)
        return aggregate(assign(features, codewords, scale), features, codewords)


def _uniform(low: float, high: float, factor: float = 1.0) -> nn.initializers.Initializer:
    def init(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, low * factor, high * factor)

    return init


@register(
    "encnet",
    year=2018,
    axes=("residuals to codewords", "dense", "1 + sigmoid"),
    placement="head",
    citation="Zhang, Dana, Shi, Zhang, Wang, Tyagi, Agrawal. Context Encoding for Semantic Segmentation. "
    "CVPR 2018. arXiv:1803.08904",
    parameters="2 C^2 + 3 C + K C + 3 K",
)
class EncNet(Attention):
    """Weights from a residual encoding of the features with learnt codewords.

    K = 32 codewords. Multiplies by 1.5 at zero logits. `se_loss` adds (C + 1) for every class.

    Attributes:
        codes: Number of codewords K.
        preset: "official" averages over the codewords, "paper" adds.
        se_loss: Also predict which classes are present.
        gate: A soft or hard gate of `functional.gate`.
        num_classes: Of the network; needed for `se_loss`.
    """

    codes: int = 32
    preset: str = "official"
    se_loss: bool = False
    gate: str | gates.Gate = "sigmoid"
    num_classes: int = 0

    def __post_init__(self) -> None:
        if self.codes < 1:
            raise UsageError(f"encnet: codes must be positive, not {self.codes}")
        if self.preset not in PRESETS:
            raise UsageError(f"encnet: unknown preset {self.preset!r}; valid: {', '.join(PRESETS)}")
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Reweigh the channels of (N, H, W, C) and rectify; the shape and the type stay.

        Raises:
            UsageError: `se_loss` without `num_classes`.
        """
        x = self.feature_map(x)
        channels = x.shape[-1]
        own = {"param_dtype": self.param_dtype}
        features = Conv(channels, 1, dtype=x.dtype, name="conv", **own)(x)
        features = nn.relu(BatchNorm(train, name="bn", dtype=x.dtype, **own)(features))
        codes = Encoding(self.codes, name="encoding", **own)(features)
        # The norm is over the codewords, so they go last.
        codes = BatchNorm(train, name="codes_bn", **own)(jnp.swapaxes(codes, 1, 2))
        encoded = PRESETS[self.preset](nn.relu(codes), axis=-1)

        logits = dense(channels, name="expand", **own)(encoded)
        weights = self.weigh(logits, train)
        if self.se_loss:
            self._sow_presence(encoded)
        return nn.relu(residual(x, over_space(weights, x)))

    def _sow_presence(self, encoded: jax.Array) -> None:
        if self.num_classes < 1:
            raise UsageError("encnet: se_loss needs the number of classes, num_classes")
        layer = dense(self.num_classes, name="presence", param_dtype=self.param_dtype)
        logits = layer(encoded)
        if not self.is_initializing():
            self.sow(
                "presence", "logits", logits, reduce_fn=lambda _, new: new, init_fn=lambda: None
            )
