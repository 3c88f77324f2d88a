"""How PyTorch code calls what we call otherwise: one table a mechanism, one for networks.

A `Rule` maps the path of a torch module to ours; a `Part` maps a prefix and hands what follows to a table
of its own. timm's names come first; where the official code differs, its names follow.
"""

import re
from dataclasses import dataclass

from chanattn.errors import UsageError
from chanattn.models import ResNet


@dataclass(frozen=True)
class Rule:
    """One renaming.

    Attributes:
        pattern: Regular expression of the torch module's whole path.
        path: Ours, with "/" between modules; may refer to groups of the pattern.
        layout: Of the weight: "own" (convolution, norm or linear layer, told by the number of dimensions),
            "dense" (1x1 convolution of a pooled vector), "grouped" (the same with groups), "taps" (1-D
            convolution over the channels).
    """

    pattern: str
    path: str
    layout: str = "own"


@dataclass(frozen=True)
class Part:
    """A prefix with a table for what follows it."""

    pattern: str
    path: str
    table: "Table"


Table = tuple[Rule | Part, ...]


def rename(path: str, table: Table) -> tuple[str, str] | None:
    """Our path and the layout of the weight, by the first entry that fits; None if none does."""
    for entry in table:
        if isinstance(entry, Rule):
            if match := re.fullmatch(entry.pattern, path):
                return match.expand(entry.path), entry.layout
        elif match := re.match(entry.pattern, path):
            below = rename(path[match.end() :], entry.table)
            if below is not None:
                return match.expand(entry.path) + below[0], below[1]
    return None


_SE: Table = (
    Rule(r"fc1|conv_reduce", "mix/reduce", "dense"),
    Rule(r"fc2|conv_expand", "mix/expand", "dense"),
    Rule(r"bn", "mix/norm"),
)

MECHANISMS: dict[str, Table] = {
    "identity": (),
    "simam": (),
    "se": _SE,
    "top_k": _SE,
    "argmax": _SE,
    "eca": (Rule(r"conv", "mix", "taps"),),
    "cbam": (
        Rule(r"(channel\.)?fc1", "channel/mix/reduce", "dense"),
        Rule(r"(channel\.)?fc2", "channel/mix/expand", "dense"),
        Rule(r"spatial\.conv\.(conv|bn)", r"spatial/\1"),
        Rule(r"(ChannelGate\.)?mlp\.1", "channel/mix/reduce"),
        Rule(r"(ChannelGate\.)?mlp\.3", "channel/mix/expand"),
        Rule(r"SpatialGate\.spatial\.(conv|bn)", r"spatial/\1"),
    ),
    "sk": (
        Rule(r"paths\.0\.(conv|bn)", r"\g<1>1"),
        Rule(r"paths\.1\.(conv|bn)", r"\g<1>2"),
        Rule(r"paths\.2\.(conv|bn)", r"\g<1>3"),
        Rule(r"attn\.fc_reduce", "attention/reduce", "dense"),
        Rule(r"attn\.bn", "attention/bn"),
        Rule(r"attn\.fc_select", "attention/select", "dense"),
    ),
    "splat": (
        Rule(r"conv", "conv"),
        Rule(r"bn0", "bn"),
        Rule(r"fc1", "attention/reduce", "grouped"),
        Rule(r"bn1", "attention/bn"),
        Rule(r"fc2", "attention/expand", "grouped"),
    ),
}


def mechanism_table(name: str) -> Table:
    """The table of a mechanism.

    Raises:
        UsageError: No PyTorch code of it is known.
    """
    if name not in MECHANISMS:
        raise UsageError(
            f"no PyTorch names are known for attention {name!r}; known: {', '.join(MECHANISMS)}"
        )
    return MECHANISMS[name]


def block_table(gate: str, conv: str, average_shortcut: bool = False) -> Table:
    """The table of a residual block.

    Args:
        gate: Mechanism of the gate slot.
        conv: Mechanism of the conv slot, or "identity".
        average_shortcut: The shortcut has a pool in front, which takes the first number.
    """
    first = 1 if average_shortcut else 0
    return (
        Part(r"(se|se_module)\.", "attention/", mechanism_table(gate)),
        Part(r"conv(\d)\.", r"conv\1/", mechanism_table(conv)),
        Rule(r"conv(\d)(\.0)?", r"conv\1"),
        Rule(r"conv(\d)\.(conv|bn)", r"\2\1"),
        Rule(r"bn(\d)", r"bn\1"),
        Rule(rf"(downsample|shortcut)\.{first}", "shortcut/conv"),
        Rule(rf"(downsample|shortcut)\.{first + 1}", "shortcut/bn"),
    )


def network_table(model: ResNet) -> Table:
    """The table of timm's `resnet.py`, `resnest.py` and `sknet.py`, and of plain CIFAR ResNets."""
    last_stem = 3 if model.stem in ("deep", "tiered") else 1
    slots = model.slots
    block = block_table(slots.gate.name, slots.conv.name, model.shortcut == "avg_pool")
    stages = tuple(
        Part(
            rf"layer{number}\.{index}\.",
            f"stage{number}_block{index + 1}/",
            block,
        )
        for number, depth in enumerate(model.layers, 1)
        for index in range(depth)
    )
    return (
        Rule(r"conv1|conv1\.0", "stem/conv1"),
        Rule(r"conv1\.1", "stem/bn1"),
        Rule(r"conv1\.3", "stem/conv2"),
        Rule(r"conv1\.4", "stem/bn2"),
        Rule(r"conv1\.6", "stem/conv3"),
        Rule(r"bn1", f"stem/bn{last_stem}"),
        Rule(r"maxpool\.0", "stem_pool/conv"),
        Rule(r"maxpool\.1", "stem_pool/bn"),
        Rule(r"fc|linear", "classifier"),
        *stages,
    )
