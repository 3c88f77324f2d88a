"""What the blocks of all networks share: numbered layers, attention at its places, stochastic depth."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.errors import UsageError
from chanattn.layers import BatchNorm, Conv, activation
from chanattn.models.slots import Slots


class Block(nn.Module, kw_only=True):  # type: ignore[call-arg]
    """Base of all blocks: (N, H, W, I) and a state -> (N, H', W', C) and the next state.

    The state belongs to a mechanism that serves all blocks of a stage (`shared`): each block is called with
    what the one before it has returned, the first one with None. Other mechanisms leave it as it is.

    Attributes:
        stage: Number of the stage, from 1.
        slots: Attention mechanisms.
        shared: The gate mechanism, if one module serves all blocks of the stage.
        block_input: I, for mechanisms whose size depends on it; 0 if unknown.
        num_classes: Of the network, for mechanisms that ask.
        activation: Between the layers: a name of `layers.activation`.
        drop_rate: Probability that the residual branch of a picture is dropped in training.
        zero_init: Start with a silent residual branch.
        train: Whether norms use the batch's statistics, and stochastic depth acts.
        dtype: Type of the computation.
        param_dtype: Type of the parameters.
    """

    stage: int = 1
    slots: Slots = Slots()
    shared: nn.Module | None = None
    block_input: int = 0
    num_classes: int = 1000
    activation: str = "relu"
    drop_rate: float = 0.0
    zero_init: bool = True
    train: bool = False
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    def conv(
        self, number: int, x: jax.Array, features: int, kernel_size: Any, **more: Any
    ) -> jax.Array:
        """Convolution `number` of the residual branch, and the attention that sits before every one."""
        x = self.attend_at_each("pre_conv", x, number)
        layer = self.conv_layer(features, kernel_size, name=f"conv{number}", **more)
        y: jax.Array = layer(x)
        return y

    def norm(
        self, number: int, x: jax.Array, *, act: bool = False, silent: bool = False
    ) -> jax.Array:
        """Norm `number`, the attention that sits at every one, and the activation if `act`.

        That attention is before the norm, or between it and the activation. The scale of a `silent` norm
        starts at zero if `zero_init` says so.
        """
        x = self.attend_at_each("before_norms", x, number)
        between = self.slots.gate.at("after_norms", self.stage)
        zero = silent and self.zero_init
        layer = self.norm_layer(
            number,
            scale_init=nn.initializers.zeros if zero else nn.initializers.ones,
            act=self.activation if act and not between else "",
        )
        x = layer(x)
        x = self.attend_at_each("after_norms", x, number)
        return self.act(x) if act and between else x

    def conv_layer(self, features: int, kernel_size: Any, **more: Any) -> nn.Module:
        """A convolution of the branch."""
        return Conv(features, kernel_size, **self.conv_types(), **more)

    def norm_layer(self, number: int, **more: Any) -> nn.Module:
        """The layer of norm `number` with the initialiser of its scale and its activation."""
        return BatchNorm(self.train, name=f"bn{number}", **more, **self.norm_types())

    def act(self, x: jax.Array) -> jax.Array:
        """The activation."""
        return activation(self.activation)(x)

    def add_act(self, y: jax.Array, shortcut: jax.Array) -> jax.Array:
        """The sum of branch and shortcut, and the activation; `folding` knows it by its name."""
        return self.act(y + shortcut)

    def attend(self, placement: str, x: jax.Array, state: Any) -> tuple[jax.Array, Any]:
        """The gate mechanism if it sits here, and the state that it leaves for the next block."""
        if self.shared is not None and self.slots.gate.at(placement, self.stage):
            return self.shared.step(x, state, self.train)
        return self._attend(placement, x, "attention"), state

    def attend_at_each(self, placement: str, x: jax.Array, number: int) -> jax.Array:
        """The same for a place that every convolution or norm has: there are several modules, numbered."""
        return self._attend(placement, x, f"attention{number}")

    def _attend(self, placement: str, x: jax.Array, name: str) -> jax.Array:
        gate = self.slots.gate
        if not gate.at(placement, self.stage):
            return x
        module = gate.build(
            name,
            block_input=self.block_input or None,
            num_classes=self.num_classes,
            param_dtype=self.param_dtype,
        )
        return module(x, train=self.train)

    def drop_branch(self, y: jax.Array) -> jax.Array:
        """Stochastic depth (Huang et al., ECCV 2016): whole branches, picture by picture, mean kept."""
        if not self.train or self.drop_rate == 0:
            return y
        keep = 1 - self.drop_rate
        mask = jax.random.bernoulli(self.make_rng("dropout"), keep, (y.shape[0], 1, 1, 1))
        return y * mask.astype(y.dtype) / keep

    def types(self) -> dict[str, Any]:
        """Arguments of every layer."""
        return {"dtype": self.dtype, "param_dtype": self.param_dtype}

    def conv_types(self) -> dict[str, Any]:
        """Arguments of every convolution."""
        return self.types()

    def norm_types(self) -> dict[str, Any]:
        """Arguments of every norm."""
        return self.types()


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


def refuse_shared_inside(slots: Slots) -> None:
    """For blocks whose inner width is not the same in a stage.

    Raises:
        UsageError: One mechanism for all blocks of a stage is there.
    """
    gate = slots.gate
    if gate.shared and gate.placement in ("mid", "pre_norm"):
        raise UsageError(
            f"attention {gate.name!r} is shared by the blocks of a stage, whose widths differ at"
            f" {gate.placement!r} in this network; use another placement or architecture"
        )
