"""DIANet: dense-and-implicit attention. Huang, Liang, Liang, Yang; AAAI 2020; arXiv:1905.10671.

One LSTM cell for all blocks of a stage, which sees their outputs in turn; t counts the blocks:

    s_t = mean_p x_tp
    i, f, g, o = A(s_t) + B(h_{t-1});   A, B: C -> d -> ReLU -> 4 C, with biases
    c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g),   h_t = sigmoid(o) sigmoid(c_t),   h_0 = c_0 = 0
    y_t = x_t h_t

d = C / 4. Paper and authors' code agree; in both h is a sigmoid of the cell state where an LSTM has tanh, so
that the weights are positive: in (0, 1), 0.25 at zero logits. Inside a network the cell belongs to the stage
and the blocks call it in turn, with the state that the block before left (`DIA.step`); called as a module of
its own, it is the first block of a stage.
"""

from dataclasses import dataclass, field
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.attention.functional import squeeze
from chanattn.attention.functional.fuse import over_space
from chanattn.attention.module import Attention, sow_weights
from chanattn.attention.registry import register
from chanattn.attention.widths import WidthRule, width_rule_of
from chanattn.layers import dense


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class State:
    """What a block leaves to the next one.

    Attributes:
        h: Weights (N, C) of the block.
        c: State of the cell (N, C).
        block: Number of the block, from 1; 0 before the first. Known while tracing, also under `nn.remat`.
    """

    h: jax.Array
    c: jax.Array
    block: int = field(metadata={"static": True})


def start(batch: int, channels: int) -> State:
    """The state before the first block."""
    zeros = jnp.zeros((batch, channels), jnp.float32)
    return State(zeros, zeros, 0)


def update(z: jax.Array, c: jax.Array) -> tuple[jax.Array, jax.Array]:
    """H and c of an LSTM cell from the logits (N, 4 C) of its gates i, f, g, o and the c before."""
    i, f, g, o = jnp.split(z, 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jax.nn.sigmoid(c), c


class Logits(nn.Module):
    """A bottleneck, (N, C) -> (N, 4 C), in float32. 5 C d + d + 4 C parameters.

    Attributes:
        width: d.
        param_dtype: Type of the parameters.
    """

    width: int
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, s: jax.Array) -> jax.Array:
        """Logits of the four gates."""
        z = dense(self.width, name="reduce", param_dtype=self.param_dtype)(s)
        return dense(4 * s.shape[-1], name="expand", param_dtype=self.param_dtype)(nn.relu(z))


@register(
    "dia",
    year=2020,
    axes=("mean", "LSTM cell over the blocks of a stage", "product of two sigmoids"),
    shared=True,
    citation="Huang, Liang, Liang, Yang. DIANet: Dense-and-Implicit Attention Network. AAAI 2020. "
    "arXiv:1905.10671",
    parameters="10 C d + 8 C + 2 d",
)
class DIA(Attention):
    """Dense-and-implicit attention: one LSTM cell, shared by all blocks of a stage, weighs their channels.

    A stage, not a block; d = C / 4.

    Attributes:
        reduction: r of the bottleneck width d = C / r.
        width: d itself, whatever C is.
        rounding: As in `SE`.
        divisor: Of "timm" and "mobile"; None: 8.
        min_width: Least d; None: 1, or the divisor.
    """

    reduction: int = 4
    width: int | None = None
    rounding: str = "paper"
    divisor: int | None = None
    min_width: int | None = None

    def __post_init__(self) -> None:
        self._width_rule()
        super().__post_init__()

    @nn.nowrap
    def _width_rule(self) -> WidthRule:
        return width_rule_of(self, "dia")

    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Reweigh the channels of (N, H, W, C) as in the first block of a stage."""
        return self.step(x, None, train)[0]

    @nn.compact
    def step(self, x: jax.Array, state: State | None, train: bool) -> tuple[jax.Array, State]:
        """Reweigh (N, H, W, C) in one block; `state` is what the block before left, None in the first.

        The weights are sown as `weights` by the first block of a stage and as `weights2` and so on by
        those after it.
        """
        x = self.feature_map(x)
        channels = x.shape[-1]
        state = state or start(x.shape[0], channels)
        width = self._width_rule()(channels)
        layer = {"width": width, "param_dtype": self.param_dtype}
        z = Logits(**layer, name="input")(squeeze.mean(x)) + Logits(**layer, name="hidden")(state.h)
        h, c = update(z, state.c)
        block = state.block + 1
        # The cell goes on from its own h, whatever is put in place of the weights.
        used = sow_weights(self, h, "weights" if block == 1 else f"weights{block}")
        return x * over_space(used, x), State(h, c, block)
