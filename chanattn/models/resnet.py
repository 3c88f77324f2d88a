"""One ResNet for the whole family; named architectures are rows of `chanattn.models.architectures`."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.layers import batch_norm
from chanattn.models.blocks import BLOCKS
from chanattn.models.slots import Slots
from chanattn.models.stem import Stem, StemPool

_torch_linear_init = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


class ResNet(nn.Module):
    """Stem, stages of residual blocks, global mean, classifier.

    Attributes:
        block: Key of `BLOCKS`.
        layers: Blocks a stage.
        planes: Width a stage, before the block's expansion.
        num_classes: Outputs.
        stem: Kind of the stem, see `Stem`.
        stem_width: Its width.
        stem_pool: "max", "conv" (learned), or "" (none: CIFAR).
        shortcut: Kind of the shortcuts, see `Block`.
        cardinality: Groups of the 3x3 convolutions.
        base_width: Width of a group at 64 planes.
        slots: Attention mechanisms.
        zero_init_residual: Start with silent residual branches.
        stochastic_depth: Drop probability of the last block; grows linearly from 0 at the first.
        dropout: Before the classifier.
        dtype: Type of the activations; logits, statistics and pooled features are float32.
        param_dtype: Type of the parameters.
    """

    block: str
    layers: tuple[int, ...]
    planes: tuple[int, ...]
    num_classes: int = 1000
    stem: str = "conv7"
    stem_width: int = 64
    stem_pool: str = "max"
    shortcut: str = "projection"
    cardinality: int = 1
    base_width: int = 64
    slots: Slots = Slots()
    zero_init_residual: bool = True
    stochastic_depth: float = 0.0
    dropout: float = 0.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @property
    def strides(self) -> dict[str, int]:
        """Pixels of the input per step of every endpoint."""
        stem = 1 if self.stem.startswith("cifar") else 2
        first = stem * (2 if self.stem_pool else 1)
        stages = {f"stage{i}": first * 2 ** (i - 1) for i in range(1, len(self.layers) + 1)}
        return {"stem": stem, **stages}

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> tuple[jax.Array, dict[str, jax.Array]]:
        """(N, H, W, 3) -> logits (N, num_classes) and the endpoints.

        Endpoints are the outputs of the `stem` (before its pool) and of every stage (`stage1`, ...), whose
        strides `strides` gives, and `pooled`, the global mean (N, C). In training, stochastic depth and
        dropout need the `dropout` random stream.
        """
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        x = Stem(self.stem, self.stem_width, name="stem", **types)(x.astype(self.dtype), train)
        endpoints = {"stem": x}
        if self.stem_pool:
            x = StemPool(self.stem_pool == "conv", name="stem_pool", **types)(x, train)

        block = BLOCKS[self.block]
        total, done = sum(self.layers), 0
        for stage, (depth, planes) in enumerate(zip(self.layers, self.planes, strict=True), 1):
            for number in range(1, depth + 1):
                x = block(
                    planes,
                    stride=2 if stage > 1 and number == 1 else 1,
                    stage=stage,
                    slots=self.slots,
                    shortcut=self.shortcut,
                    cardinality=self.cardinality,
                    base_width=self.base_width,
                    drop_rate=self.stochastic_depth * done / max(total - 1, 1),
                    zero_init=self.zero_init_residual,
                    name=f"stage{stage}_block{number}",
                    **types,
                )(x, train)
                done += 1
            x = self._attend("stage_end", x, stage, train)
            endpoints[f"stage{stage}"] = x

        if block.pre_activation:
            x = nn.relu(batch_norm(train, name="bn", **types)(x))
        x = self._attend("head", x, len(self.layers), train)
        x = jnp.mean(x, axis=(1, 2), dtype=jnp.float32)
        endpoints["pooled"] = x
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        classifier = nn.Dense(
            self.num_classes,
            dtype=jnp.float32,
            param_dtype=self.param_dtype,
            kernel_init=_torch_linear_init,
            name="classifier",
        )
        return classifier(x), endpoints

    def _attend(self, placement: str, x: jax.Array, stage: int, train: bool) -> jax.Array:
        gate = self.slots.gate
        if not gate.at(placement, stage):
            return x
        name = f"stage{stage}_attention" if placement == "stage_end" else "head_attention"
        return gate.build(name, param_dtype=self.param_dtype)(x, train=train)
