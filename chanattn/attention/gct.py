"""Gated channel transformation. Yang, Zhu, Wu, Yang; CVPR 2020; arXiv:1909.11519.

    l2: e_c = alpha_c sqrt(sum_p x_pc^2 + eps);   n_c = e_c / sqrt(mean_c e_c^2 + eps)
    l1: e_c = alpha_c sum_p |x_pc|;               n_c = e_c / (mean_c |e_c| + eps)
    y = x (1 + tanh(gamma_c n_c + beta_c))

Table 6 of the paper combines the embeddings with other normalisations, gates and places:

    embedding linf       e_c = alpha_c max_p |x_pc|
    norm      mean_var   n_c = (e_c - mean_c e) / sqrt(var_c e + eps)
    gate      sigmoid, one_plus_elu        placement   before_norms, after_norms

Channels compete by the size of their activations; alpha = 1, gamma = beta = 0 at the start, which is the
identity. Its place is in front of every convolution, eps = 1e-5.

The paper writes sqrt(C) e / sqrt(sum_c e_c^2 + eps), with eps beside the sum; the authors' code, followed
here, has it beside the mean, C times as much. It shows only where activations are about sqrt(eps). The name
"GCT" has also been given to the Gaussian context transformer, which is `gaussian_ct` here.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.attention.functional import gate as gates
from chanattn.attention.functional.fuse import over_space
from chanattn.attention.module import Attention
from chanattn.attention.registry import register
from chanattn.errors import UsageError
from chanattn.layers.maximum import maximum

NORMS = ("l2", "l1", "mean_var")
EMBEDDINGS = ("l2", "l1", "linf")


def l2_embedding(x: jax.Array, epsilon: float) -> jax.Array:
    """sqrt(sum_p x_pc^2 + eps) of (N, H, W, C)."""
    return jnp.sqrt(jnp.sum(jnp.square(x.astype(jnp.float32)), axis=(1, 2)) + epsilon)


def l1_embedding(x: jax.Array, after_relu: bool) -> jax.Array:
    """sum_p |x_pc| of (N, H, W, C); the plain sum if nothing is negative `after_relu`."""
    x = x.astype(jnp.float32)
    return jnp.sum(x if after_relu else jnp.abs(x), axis=(1, 2))


def linf_embedding(x: jax.Array) -> jax.Array:
    """max_p |x_pc| of (N, H, W, C). The gradient is shared evenly among ties."""
    return maximum(jnp.abs(x.astype(jnp.float32)), (1, 2))


def normalize(e: jax.Array, norm: str, epsilon: float) -> jax.Array:
    """An embedding (N, C) in units of its size: mean square 1 (l2), mean magnitude 1 (l1), variance 1.

    "mean_var" also takes its mean away.
    """
    if norm == "mean_var":
        e = e - jnp.mean(e, axis=-1, keepdims=True)
    if norm in ("l2", "mean_var"):
        return e / jnp.sqrt(jnp.mean(jnp.square(e), axis=-1, keepdims=True) + epsilon)
    return e / (jnp.mean(jnp.abs(e), axis=-1, keepdims=True) + epsilon)


class Competition(nn.Module):
    """z_c = gamma_c n_c + beta_c with n the normalised alpha_c s_c. 3 C parameters."""

    norm: str
    epsilon: float
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, s: jax.Array, train: bool = False) -> jax.Array:
        """Map (N, C) to (N, C)."""
        shape = s.shape[-1:]
        alpha = self.param("alpha", nn.initializers.ones, shape, self.param_dtype)
        gamma = self.param("gamma", nn.initializers.zeros, shape, self.param_dtype)
        beta = self.param("beta", nn.initializers.zeros, shape, self.param_dtype)
        return gamma * normalize(alpha * s, self.norm, self.epsilon) + beta


@register(
    "gct",
    year=2020,
    axes=("l2, l1 or maximum norm", "normalisation over channels, per-channel scale", "1 + tanh"),
    parameters="3 C",
    placement="pre_conv",
    identity_at_init=True,
    identity_if=lambda module: gates.is_open_at(gates.of(module), 0.0),
    citation="Yang, Zhu, Wu, Yang. Gated Channel Transformation for Visual Recognition. CVPR 2020. "
    "arXiv:1909.11519",
)
class GCT(Attention):
    """Gated channel transformation: channels compete by their norms.

    Attributes:
        norm: Of the embedding over the channels: "l2", "l1" or "mean_var".
        embedding: Of the positions: "l2", "l1" or "linf"; None: as `norm`, with "mean_var" l2.
        after_relu: With the embedding l1: x is not negative, so the absolute value is left out.
        epsilon: eps of both steps.
        gate: A soft or hard gate of `functional.gate`; the identity at the start needs the default.

    Raises:
        UsageError: Unknown norm or embedding, an `after_relu` that only l1 has a use for, or an epsilon that
            is not positive.
    """

    norm: str = "l2"
    embedding: str | None = None
    after_relu: bool = False
    epsilon: float = 1e-5
    gate: str | gates.Gate = "one_plus_tanh"

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise UsageError(f"gct: unknown norm {self.norm!r}; valid: {', '.join(NORMS)}")
        if self.embedding not in (*EMBEDDINGS, None):
            raise UsageError(
                f"gct: unknown embedding {self.embedding!r}; valid: {', '.join(EMBEDDINGS)}"
            )
        if self.after_relu and self._embedding != "l1":
            raise UsageError(
                f"gct: after_relu makes no difference to embedding {self._embedding!r}; valid: embedding 'l1'"
            )
        if self.epsilon <= 0:
            raise UsageError(f"gct: epsilon must be positive, not {self.epsilon}")
        super().__post_init__()

    @property
    def _embedding(self) -> str:
        return self.embedding or ("l1" if self.norm == "l1" else "l2")

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Reweigh the channels of (N, H, W, C)."""
        x = self.feature_map(x)
        z = Competition(self.norm, self.epsilon, self.param_dtype, name="mix")(self._embed(x))
        w = self.weigh(z, train)
        return x * over_space(w, x)

    @nn.nowrap
    def _embed(self, x: jax.Array) -> jax.Array:
        if self._embedding == "l2":
            return l2_embedding(x, self.epsilon)
        return l1_embedding(x, self.after_relu) if self._embedding == "l1" else linf_embedding(x)
