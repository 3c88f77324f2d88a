"""Residual blocks equal timm's and the authors', attention included."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import parity
import pytest

from chanattn.interop.from_torch import convert
from chanattn.interop.names import Table, block_table, mobile_table, osa_block_table
from chanattn.models.block import Block
from chanattn.models.blocks import BLOCKS
from chanattn.models.inverted_residual import InvertedResidualBlock
from chanattn.models.slots import Slots, resolve
from chanattn.models.vovnet import OSABlock

TIMM_SE = {"name": "se", "rounding": "timm"}


def bottleneck(planes: int, slots: Slots, **more: Any) -> Block:
    return BLOCKS["bottleneck"](planes, slots=slots, **more)


def splat(**options: Any) -> Slots:
    return resolve({"name": "splat", "rounding": "timm", **options})


FILES: dict[str, Block] = {
    "block_basic_cbam": BLOCKS["basic"](
        24, stride=2, slots=resolve({"name": "cbam", "preset": "timm"})
    ),
    "block_bottleneck_se": bottleneck(8, resolve(TIMM_SE)),
    "block_bottleneck_eca_s2_avgdown": bottleneck(
        16, resolve({"name": "eca"}), stride=2, shortcut="avg_pool"
    ),
    "block_resnest_r2_avd_s2": bottleneck(16, splat(), stride=2, shortcut="avg_pool"),
    "block_resnest_r1k4_s2": bottleneck(
        16,
        splat(radix=1, avd_first=True),
        stride=2,
        shortcut="avg_pool",
        cardinality=4,
        base_width=32,
    ),
    "block_resnest_r4k2_avdfirst_s2": bottleneck(
        16,
        splat(radix=4, avd_first=True),
        stride=2,
        shortcut="avg_pool",
        cardinality=2,
        base_width=32,
    ),
    "block_sk_basic": BLOCKS["basic"](
        24,
        slots=resolve({"name": "sk", "reduction": 8, "min_width": 16, "split_input": True}),
    ),
    "block_sk_bottleneck": bottleneck(
        16, resolve({"name": "sk"}), stride=2, cardinality=16, base_width=8
    ),
    "sk_pytorchinsight_block": bottleneck(
        32, resolve({"name": "sk", "branches": "groups", "min_width": 1})
    ),
    "block_bottleneck_gca": bottleneck(8, resolve({"name": "gc", "preset": "timm"})),
    "gsop_block": bottleneck(8, resolve({"name": "gsop", "width": 12})),
    "block_legacy_se_resnet_basic": BLOCKS["basic"](
        16, slots=resolve({"name": "se"}), rectify_branch=True
    ),
    "block_legacy_se_resnet_bottleneck_s2": bottleneck(
        16, resolve({"name": "se"}), stride=2, stride_first=True
    ),
    "block_legacy_se_resnext": bottleneck(
        16, resolve({"name": "se"}), cardinality=4, base_width=16
    ),
    "block_legacy_senet154": bottleneck(
        8,
        resolve({"name": "se"}),
        stride=2,
        shortcut="projection3x3",
        cardinality=4,
        base_width=64,
        reduce_first=2,
    ),
    "block_osa_ese": OSABlock(
        filters=16, width=16, layers=3, residual=True, slots=resolve({"name": "ese"})
    ),
    "block_mbconv_se": InvertedResidualBlock(
        filters=16,
        expansion=4,
        activation="silu",
        block_input=16,
        slots=resolve(
            {"name": "se", "placement": "mid"}
            | {"reduction": 4, "reduce_from": "block_input", "act": "silu"}
        ),
    ),
}

# The authors' SK block keeps the parts of its selective kernel beside the block's own convolutions.
INSIGHT_NAMES = {
    "conv2.": "conv2.paths.0.conv.",
    "bn2.": "conv2.paths.0.bn.",
    "conv2g.": "conv2.paths.1.conv.",
    "bn2g.": "conv2.paths.1.bn.",
    "conv_fc1.": "conv2.attn.fc_reduce.",
    "bn_fc1.": "conv2.attn.bn.",
    "conv_fc2.": "conv2.attn.fc_select.",
}


def rename_insight(state: dict[str, Any]) -> dict[str, Any]:
    renamed = {}
    for name, value in state.items():
        prefix = next((p for p in INSIGHT_NAMES if name.startswith(p)), None)
        renamed[INSIGHT_NAMES[prefix] + name[len(prefix) :] if prefix else name] = value
    return renamed


def table_of(block: Block) -> Table:
    gate = block.slots.gate.name
    if isinstance(block, OSABlock):
        return osa_block_table(gate, block.layers)
    if isinstance(block, InvertedResidualBlock):
        return mobile_table(gate)
    return block_table(gate, block.slots.conv.name, block.shortcut == "avg_pool")


@pytest.mark.parametrize("file", FILES)
def test_block_equals_the_reference(file: str, golden: Path) -> None:
    block = FILES[file]
    arrays = parity.load(golden / "modules" / f"{file}.npz")
    table = table_of(block)
    groups = getattr(block, "cardinality", 1)

    def to_flax(state: dict[str, Any]) -> dict[str, Any]:
        named = rename_insight(state) if file.startswith("sk_pytorchinsight") else state
        return convert(named, table, groups=groups)

    variables = to_flax(parity.state_dict(arrays))
    for case in parity.cases(arrays):
        parity.check_module(
            Alone(block),
            variables,
            case,
            to_flax,
            counts=partial(positions, case["x"].shape),
        )


@dataclass(frozen=True)
class Alone:
    """A block as a function of a map, without the state of a shared mechanism."""

    block: Block

    def apply(self, variables: Any, x: Any, *, train: bool, mutable: list[str]) -> Any:
        (y, _), new = self.block.clone(train=train).apply(variables, x, mutable=mutable)
        return y, new


def positions(shape: tuple[int, ...], norm: str) -> int:
    """Values a channel that a norm of an unstrided block sees."""
    pictures, height, width, _ = shape
    return pictures * height * width
