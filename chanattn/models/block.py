"""What the blocks of all networks share: layers by name, attention, stochastic depth."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.errors import UsageError
from chanattn.layers import Conv, activation, batch_norm
from chanattn.models.slots import Slots, StageAttention


class Block(nn.Module, kw_only=True):  # type: ignore[call-arg]
    """Base of all blocks: (N, H, W, I) -> (N, H', W', C).

    Attributes:
        stage: Number of the stage, from 1.
        slots: Attention mechanisms.
        shared: The gate mechanism, if one serves all blocks of the stage.
        block_input: I, for mechanisms whose size depends on it; 0 if unknown.
        num_classes: Of the network, for mechanisms that ask.
        activation: Between the layers: a name of `layers.activation`.
        drop_rate: Probability that the residual branch of a picture is dropped in training.
        zero_init: Start with a silent residual branch.
        dtype: Type of the computation.
        param_dtype: Type of the parameters.
    """

    stage: int = 1
    slots: Slots = Slots()
    shared: StageAttention | None = None
    block_input: int = 0
    num_classes: int = 1000
    activation: str = "relu"
    drop_rate: float = 0.0
    zero_init: bool = True
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    def _act(self, x: jax.Array) -> jax.Array:
        return activation(self.activation)(x)

    def _conv(
        self, name: str, x: jax.Array, features: int, kernel_size: int, **more: Any
    ) -> jax.Array:
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        return Conv(features, kernel_size, name=name, **types, **more)(x)

    def _norm(
        self,
        number: int,
        x: jax.Array,
        train: bool,
        *,
        last: bool = False,
        act: bool = False,
        after: Conv | None = None,
        addend: jax.Array | None = None,
    ) -> jax.Array:
        """Norm `number`, and the activation if `act`; the last one of a branch may start at zero.

        The attention that sits at every norm is before it, or between it and the activation. `after` and
        `addend` are those of `BatchNorm`: the convolution before the norm, and what is added.
        """
        silent = last and self.zero_init
        gate, name = self.slots.gate, f"attention{number}"
        inside = gate.at("after_norms", self.stage)
        if gate.at("before_norms", self.stage):
            x = self._attend("before_norms", x if after is None else after(x), train, name)
            after = None
        norm = batch_norm(
            train,
            name=f"bn{number}",
            scale_init=nn.initializers.zeros if silent else nn.initializers.ones,
            act=self.activation if act and not inside else "",
            dtype=self.dtype,
            param_dtype=self.param_dtype,
        )
        if not inside:
            return norm(x, after, addend)
        y = self._attend("after_norms", norm(x, after), train, name)
        y = y if addend is None else y + addend
        return self._act(y) if act else y

    def _attend(
        self, placement: str, x: jax.Array, train: bool, name: str = "attention"
    ) -> jax.Array:
        """Apply the gate mechanism if it sits here."""
        gate = self.slots.gate
        if not gate.at(placement, self.stage):
            return x
        if self.shared is not None:
            return self.shared(x, train)
        module = gate.build(
            name,
            block_input=self.block_input or None,
            num_classes=self.num_classes,
            param_dtype=self.param_dtype,
        )
        return module(x, train=train)

    def _branch_conv(
        self, number: int, x: jax.Array, features: int, kernel_size: int, train: bool, **more: Any
    ) -> jax.Array:
        """Convolution `number` of the residual branch, with the `pre_conv` attention before it."""
        x = self._attend("pre_conv", x, train, name=f"attention{number}")
        return self._conv(f"conv{number}", x, features, kernel_size, **more)

    def _conv_norm(
        self,
        number: int,
        x: jax.Array,
        features: int,
        kernel_size: int,
        train: bool,
        *,
        last: bool = False,
        act: bool = False,
        addend: jax.Array | None = None,
        **more: Any,
    ) -> jax.Array:
        """Convolution and norm `number`, see `_norm`; the `pre_norm` attention is between the second ones."""
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        conv = Conv(features, kernel_size, name=f"conv{number}", **types, **more)
        if number == 2 and self.slots.gate.at("pre_norm", self.stage):
            y = self._attend("pre_norm", conv(x), train)
            return self._norm(number, y, train, last=last, act=act, addend=addend)
        return self._norm(number, x, train, last=last, act=act, after=conv, addend=addend)

    def _branch_conv_norm(
        self, number: int, x: jax.Array, features: int, kernel_size: int, train: bool, **more: Any
    ) -> jax.Array:
        """The same in the residual branch, with the `pre_conv` attention before it."""
        x = self._attend("pre_conv", x, train, name=f"attention{number}")
        return self._conv_norm(number, x, features, kernel_size, train, **more)

    def _drop_branch(self, y: jax.Array, train: bool) -> jax.Array:
        """Stochastic depth (Huang et al., ECCV 2016): whole branches, picture by picture, mean kept."""
        if not train or self.drop_rate == 0:
            return y
        keep = 1 - self.drop_rate
        mask = jax.random.bernoulli(self.make_rng("dropout"), keep, (y.shape[0], 1, 1, 1))
        return y * mask.astype(y.dtype) / keep


def refuse_conv_slot(slots: Slots, reason: str) -> None:
    """For blocks that a mechanism of the conv slot does not fit in.

    Raises:
        UsageError: There is one.
    """
    if slots.conv.name != "identity":
        raise UsageError(
            f"attention {slots.conv.name!r} replaces a convolution with its norm and activation, {reason};"
            " use another architecture"
        )
