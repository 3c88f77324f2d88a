"""Attention that starts as the identity, so that it can be added to a network that is already trained.

    y = x + a (A(x) - x),   a = 0 at the start

A is the mechanism with its own initialisation, a one learned number a module. Where A(x) = x w this is
y = x (1 + a (w - 1)): a gain, one at the start. a = 1 is the mechanism as published. Residual weights that
start at zero are those of SkipInit (De, Smith, NeurIPS 2020, arXiv:2002.10444) and ReZero (Bachlechner et
al., UAI 2021, arXiv:2003.04887), and DANet's beta is one; here they multiply the difference that attention
makes.

A single number cannot act as a scale a channel by itself, which attention is compared with (`static`), and
weight decay leaves it alone (`attention.decays`). In the first step a alone gets a gradient (if the map that
it acts on is not zero), and the rest of the network the very gradient that it has without attention; from the
second step on, a is not zero and A learns.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.attention.mechanism import Mechanism
from chanattn.errors import UsageError, did_you_mean

STARTS = ("", "identity")
RESIDUAL_WEIGHT = "residual_weight"
"""Name of a, beside the parameters of the mechanism, which have the paths that they have without it."""


class FromIdentity(nn.Module):
    """y = x + a (A(x) - x) with a learned a that starts at 0. One parameter more than the mechanism.

    What the mechanism sows, its own weights, is shown as it is. If A(x) is finite, y is x to the bit at the
    start, in every type.

    Attributes:
        mechanism: A, of the gate slot, made with `parent=None`.
        param_dtype: Type of a.
    """

    mechanism: nn.Module
    param_dtype: Any = jnp.float32

    def setup(self) -> None:
        """Make a among the parameters of the mechanism."""
        nn.share_scope(self, self.mechanism)
        self.a = self.param(RESIDUAL_WEIGHT, nn.initializers.zeros, (), self.param_dtype)

    def __call__(self, x: jax.Array, *args: Any, **kwargs: Any) -> jax.Array:
        """Reweigh (N, H, W, C), on what the mechanism takes beside it; the shape and the type stay."""
        return self._blend(x, self.mechanism(x, *args, **kwargs))

    def step(self, x: jax.Array, state: Any, train: bool) -> tuple[jax.Array, Any]:
        """The same with a mechanism that all blocks of a stage share; they share a, too."""
        y, state = self.mechanism.step(x, state, train)
        return self._blend(x, y), state

    def _blend(self, x: jax.Array, y: jax.Array) -> jax.Array:
        x = x.astype(y.dtype)
        return x + self.a.astype(x.dtype) * (y - x)


def check(mechanism: Mechanism, start: str) -> None:
    """Refuse an unknown start, or one that the mechanism cannot have.

    Raises:
        UsageError: The start is unknown, or the mechanism is of the conv slot.
    """
    if start not in STARTS:
        raise UsageError(
            f"attention {mechanism.name!r}: unknown start {start!r}; valid: 'identity', or '' for the"
            f" mechanism's own initialisation.{did_you_mean(start, STARTS)}"
        )
    if start and mechanism.slot == "conv":
        raise UsageError(
            f"attention {mechanism.name!r} cannot start as the identity: it replaces a convolution with its"
            " norm and activation; use start='', or a mechanism of the gate slot"
        )
