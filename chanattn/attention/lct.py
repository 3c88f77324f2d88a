"""Linear context transform. Ruan, Wen, Zheng, Zheng; AAAI 2020; arXiv:1909.03834.

    s = mean_p x_p;   n_c = (s_c - mean_g s) / sqrt(var_g s + 1e-5) inside each group g of channels
    w_c = sigmoid(a_c n_c + b_c);   y = x w

A group norm of the pooled vector. The paper has 64 groups; with one channel a group n would be 0, so where
C is small there are fewer, of four channels or more. No official code is known, and copies disagree on the
start:

    preset       a, b at start   weights at start
    constant     0, 1            0.73, as in `sge` and `shuffle`
    normalized   1, 0            sigmoid(n)
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.attention.functional import gate as gates
from chanattn.attention.functional import squeeze
from chanattn.attention.functional.fuse import over_space
from chanattn.attention.grouping import check_groups, count_groups
from chanattn.attention.module import Attention
from chanattn.attention.registry import register
from chanattn.errors import UsageError

# (initialiser of a, of b)
PRESETS = {
    "constant": (nn.initializers.zeros, nn.initializers.ones),
    "normalized": (nn.initializers.ones, nn.initializers.zeros),
}


class GroupContext(nn.Module):
    """z_c = a_c n_c + b_c with n the descriptor normalised inside groups of channels. 2 C parameters.

    Attributes:
        groups: Number of groups; None: see `default_groups`.
        preset: "constant" or "normalized".
        param_dtype: Type of the parameters.
    """

    groups: int | None
    preset: str
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, s: jax.Array, train: bool = False) -> jax.Array:
        """Map (N, C) to (N, C)."""
        scale_init, bias_init = PRESETS[self.preset]
        norm = nn.GroupNorm(
            count_groups("lct", s.shape[-1], self.groups),
            epsilon=1e-5,
            use_fast_variance=False,
            param_dtype=self.param_dtype,
            scale_init=scale_init,
            bias_init=bias_init,
            name="norm",
        )
        return norm(s)


@register(
    "lct",
    year=2020,
    axes=("mean", "group norm, per-channel scale", "sigmoid"),
    parameters="2 C",
    order_matters=True,
    identity_if=lambda module: (
        module.preset == "constant" and gates.is_open_at(gates.of(module), 1.0)
    ),
    citation="Ruan, Wen, Zheng, Zheng. Linear Context Transform Block. AAAI 2020. arXiv:1909.03834",
)
class LCT(Attention):
    """Linear context transform: a group norm of the pooled vector.

    Attributes:
        groups: Number of groups; None: 64, or C / 4 where that is less (the nearest divisor of C below it).
        preset: "constant" or "normalized", see the head of this file.
        gate: A soft or hard gate of `functional.gate`.

    Raises:
        UsageError: Unknown preset, or a number of groups that is not positive.
    """

    groups: int | None = None
    preset: str = "constant"
    gate: str | gates.Gate = "sigmoid"

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise UsageError(f"lct: unknown preset {self.preset!r}; valid: {', '.join(PRESETS)}")
        check_groups("lct", self.groups)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Reweigh the channels of (N, H, W, C)."""
        x = self.feature_map(x)
        context = GroupContext(self.groups, self.preset, self.param_dtype, name="mix")
        w = self.weigh(context(squeeze.mean(x)), train)
        return x * over_space(w, x)
