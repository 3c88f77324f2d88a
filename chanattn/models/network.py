"""What all networks share: the fields that a config sets, attention outside the blocks, the end."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.errors import UsageError
from chanattn.layers import BatchNorm, Conv, activation
from chanattn.models import heads
from chanattn.models.slots import Slot, Slots, check

#: What the head gives, and the endpoints.
Outputs = tuple[Any, dict[str, jax.Array]]


def check_pictures(x: jax.Array) -> None:
    """Refuses what is no batch of pictures (N, H, W, C).

    Raises:
        UsageError: It has not four axes.
    """
    if jnp.ndim(x) != 4:
        alone = "; one picture alone becomes a batch as x[None]" if jnp.ndim(x) == 3 else ""
        raise UsageError(
            f"a network takes pictures of shape (N, H, W, 3), not {jnp.shape(x)}{alone}"
        )


class Network(nn.Module, kw_only=True):  # type: ignore[call-arg]
    """Base of all networks: a backbone and a head, pictures (N, H, W, 3) -> outputs and the endpoints.

    The outputs are those of the head, for a classifier logits (N, num_classes). Endpoints are the last map of
    the stem before the picture is halved a second time (`stem`), the outputs of every stage (`stage1`, ...),
    of the convolution after them if there is one (`final`), whose strides `strides` gives, and `pooled`, what
    the head is given: the global mean (N, C), or what a dense layer behind it makes of that.

    Attributes:
        num_classes: What the head tells apart; 0: there is no head.
        head: A name of `chanattn.models.heads`; "": there is none, and the outputs are `pooled`.
        head_width: Channels of the head, see there; 0: its own.
        head_options: Further fields of the head, sorted pairs of name and value.
        slots: Attention mechanisms.
        zero_init_residual: Start with silent residual branches.
        stochastic_depth: Drop probability of the last block; grows linearly from 0 at the first.
        dropout: Before the last layer of the head.
        activation: A name of `layers.activation`.
        num_features: Width of a 1x1 convolution after the last stage; 0: none.
        image_size: Side of the pictures that the network was published for; others will do.
        dtype: Type of the activations; logits, statistics and pooled features are float32.
        param_dtype: Type of the parameters.
    """

    num_classes: int = 1000
    head: str = "classifier"
    head_width: int = 0
    head_options: heads.Options = ()
    slots: Slots = Slots()
    zero_init_residual: bool = True
    stochastic_depth: float = 0.0
    dropout: float = 0.0
    activation: str = "relu"
    num_features: int = 0
    image_size: int = 224
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        if not isinstance(self.num_classes, int) or self.num_classes < 0:
            raise UsageError(f"num_classes must be a whole number from 0, not {self.num_classes!r}")
        for rate in ("stochastic_depth", "dropout"):
            if not 0 <= getattr(self, rate) < 1:
                raise UsageError(f"{rate} must be in [0, 1), not {getattr(self, rate)}")
        activation(self.activation)
        stages = range(1, len(self.depths) + 1)
        check(self.slots, len(stages))
        gate = self.slots.gate
        heads.check_use(
            self.head if self.num_classes else "",
            width=self.head_width,
            strides=tuple(self.strides.items()),
            attention=gate,
            options=self.head_options,
        )
        bare = [i for i in stages if gate.at("identity", i) and not self._has_shortcuts(i)]
        if bare:
            raise UsageError(
                f"attention {gate.name!r} cannot be placed at 'identity' in stages {tuple(bare)}: they have"
                " blocks without a shortcut"
            )
        super().__post_init__()

    @nn.nowrap
    def backbone(self) -> Self:
        """The network without its head, and without attention there."""
        slots = self.slots if self.neck is None else dataclasses.replace(self.slots, gate=Slot())
        bare: Self = self.clone(head="", head_width=0, head_options=(), slots=slots)
        return bare

    @property
    def neck(self) -> Slot | None:
        """The mechanism that takes the places of attention in the head, be it none; None: the head's own."""
        gate = self.slots.gate
        return gate if gate.placement == "neck" else None

    @property
    def mechanisms(self) -> tuple[Slot, ...]:
        """All mechanisms, those of the head included."""
        in_head = heads.mechanisms(self.head if self.num_classes else "", self.neck)
        return tuple(dict.fromkeys((self.slots.gate, self.slots.conv, *in_head)))

    @property
    def has_auxiliary(self) -> bool:
        """Whether the head has further outputs in training."""
        return heads.has_auxiliary(self.head if self.num_classes else "")

    @nn.nowrap
    def _has_shortcuts(self, stage: int) -> bool:
        """Whether all blocks of a stage that attention sits in have a shortcut."""
        return True

    @property
    def depths(self) -> tuple[int, ...]:
        """Blocks a stage."""
        raise NotImplementedError

    @property
    def strides(self) -> dict[str, int]:
        """Pixels of the input per step of every endpoint that is a map."""
        raise NotImplementedError

    @nn.nowrap
    def _strides(self, stem: int, first: int) -> dict[str, int]:
        """Strides of a network that halves the map at every stage but the first."""
        stages = {f"stage{i}": first * 2 ** (i - 1) for i in range(1, len(self.depths) + 1)}
        final = {"final": max(stages.values())} if self.num_features else {}
        return {"stem": stem, **stages, **final}

    def _types(self) -> dict[str, Any]:
        return {"dtype": self.dtype, "param_dtype": self.param_dtype}

    def _norm_types(self) -> dict[str, Any]:
        return self._types()

    def _pool(self, x: jax.Array) -> jax.Array:
        """What the head is given of the last map."""
        return jnp.mean(x, axis=(1, 2), dtype=jnp.float32)

    def _of_every_block(self, stage: int, number: int, x: jax.Array, train: bool) -> dict[str, Any]:
        """Arguments of block `number` (from 1) of a stage that do not depend on the kind of block."""
        done = sum(self.depths[: stage - 1]) + number - 1
        return {
            "stage": stage,
            "slots": self.slots,
            "block_input": x.shape[-1],
            "num_classes": self.num_classes,
            "activation": self.activation,
            "drop_rate": self.stochastic_depth * done / max(sum(self.depths) - 1, 1),
            "zero_init": self.zero_init_residual,
            "train": train,
            "name": f"stage{stage}_block{number}",
            **self._types(),
        }

    def _shared_attention(self, stage: int) -> nn.Module | None:
        """The one gate mechanism for all blocks of a stage, if it is of that kind and sits there."""
        gate = self.slots.gate
        if not gate.shared or not gate.at(gate.placement, stage):
            return None
        return self._build_gate(f"stage{stage}_attention")

    def _build_gate(self, name: str) -> nn.Module:
        return self.slots.gate.build(
            name, num_classes=self.num_classes, param_dtype=self.param_dtype
        )

    def _end_stage(self, x: jax.Array, stage: int, train: bool) -> jax.Array:
        if self.slots.gate.at("stage_end", stage, last=stage == len(self.depths)):
            x = self._build_gate(f"stage{stage}_attention")(x, train=train)
        return x

    def _final(self, x: jax.Array, train: bool) -> jax.Array:
        """What follows the last stage: a 1x1 convolution with norm and activation, if there is one."""
        if not self.num_features:
            return x
        x = Conv(self.num_features, kernel_size=1, name="final_conv", **self._types())(x)
        norm = BatchNorm(train, name="final_bn", act=self.activation, **self._norm_types())
        y: jax.Array = norm(x)
        return y

    def _finish(
        self,
        x: jax.Array,
        endpoints: dict[str, jax.Array],
        pictures: jax.Array,
        train: bool,
        inputs: Mapping[str, Any],
    ) -> Outputs:
        """Final convolution, attention, global mean, head.

        Args:
            x: The last map.
            endpoints: Of the stem and the stages.
            pictures: What the network was given.
            train: As of the network.
            inputs: What the head is given beside.
        """
        x = self._final(x, train)
        if self.num_features:
            endpoints["final"] = x
        if self.slots.gate.at("head", len(self.depths)):
            x = self._build_gate("head_attention")(x, train=train)
        endpoints["pooled"] = self._pool(x)
        if not (self.head and self.num_classes):
            return endpoints["pooled"], endpoints
        drop = nn.Dropout(self.dropout, deterministic=not train)
        head: Any = self.head_alone()
        size = pictures.shape[1], pictures.shape[2]
        seen = {"image": pictures, **endpoints}
        return head(seen, size=size, drop=drop, train=train, **inputs), endpoints

    @nn.nowrap
    def head_alone(self) -> nn.Module:
        """The head without the backbone, whose variables lie under its name in those of the network."""
        return heads.create(
            self.head,
            num_classes=self.num_classes,
            width=self.head_width,
            neck=self.neck,
            strides=tuple(self.strides.items()),
            options=self.head_options,
            **self._types(),
        )
