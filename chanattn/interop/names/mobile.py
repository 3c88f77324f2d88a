"""Names of timm's _efficientnet_blocks.py, ghostnet.py, repghost.py and rexnet.py."""

from collections.abc import Iterator

from chanattn.interop.names.mechanisms import mechanism_table
from chanattn.interop.names.rules import Part, Rule, Table
from chanattn.models import InvertedResidualNet


def is_rexnet(model: InvertedResidualNet) -> bool:
    """Whether it is a network of rexnet.py."""
    return model.groups[0][0].kind == "rexnet"


def ends_table(model: InvertedResidualNet) -> Table:
    """The table of what is outside of the blocks."""
    if is_rexnet(model):
        last = len(model.groups)
        return (
            Rule(r"stem\.(conv|bn)", r"stem_\1"),
            Rule(rf"features\.{last}\.(conv|bn)", r"final_\1"),
        )
    return (
        Rule(r"conv_stem", "stem_conv"),
        Rule(r"bn1", "stem_bn"),
        Rule(r"bn2", "final_bn"),
        *((Rule(r"conv_head", "pooled_dense", "dense"),) if model.pooled_features else ()),
    )


def blocks(model: InvertedResidualNet) -> Iterator[tuple[str, str, Table]]:
    """PyTorch's prefix, which counts by groups of rows, our name and the table of every block."""
    for place in model.places():
        table = mobile_table(model.slots.gate.name, place.row.kind, place.row.expansion != 1)
        ours = f"stage{place.stage}_block{place.number}"
        if is_rexnet(model):
            yield rf"features\.{place.group}\.", ours, table
        else:
            yield rf"blocks\.{place.group}\.{place.position}\.", ours, table


def mobile_table(gate: str, kind: str = "inverted", expanded: bool = True) -> Table:
    """The table of a block.

    Args:
        gate: Mechanism of the gate slot.
        kind: Of the block, see `chanattn.models.inverted_residual`.
        expanded: Whether an inverted residual has a 1x1 convolution in front.
    """
    attention = Part(r"se\.", "attention/", mechanism_table(gate))
    if kind == "rexnet":
        names: tuple[str, ...] = ("conv_exp", "conv_dw", "conv_pwl")
        joined = (Rule(rf"{name}\.(conv|bn)", rf"\g<1>{n}") for n, name in enumerate(names, 1))
        return attention, *joined
    if "ghost" in kind:
        return attention, *_GHOST
    if kind == "conv":
        names = ("conv",)
    elif kind == "fused":
        names = ("conv_exp", "conv_pwl")
    else:
        names = ("conv_pw", "conv_dw", "conv_pwl") if expanded else ("conv_dw", "conv_pw")
    first = 2 if names[0] == "conv_dw" else 1
    return (
        attention,
        *(Rule(name, f"conv{number}") for number, name in enumerate(names, first)),
        *(Rule(rf"bn{index + 1}", f"bn{first + index}") for index in range(len(names))),
        # Of several sizes, counted from 0 there and from 1 here.
        *(
            Rule(rf"{name}\.{part}", f"conv{number}/part{part + 1}")
            for number, name in enumerate(names, first)
            for part in range(_PARTS)
        ),
    )


_PARTS = 5  # convolutions side by side, at most


def _ghost_module(name: str, number: int) -> Table:
    return (
        Rule(rf"{name}\.primary_conv\.0", f"conv{number}"),
        Rule(rf"{name}\.primary_conv\.1", f"bn{number}"),
        Rule(rf"{name}\.cheap_operation\.0", f"conv{number + 1}"),
        Rule(rf"{name}\.cheap_operation\.1", f"bn{number + 1}"),
        Rule(rf"{name}\.fusion_bn\.0", f"fusion_bn{number}"),
    )


_GHOST: Table = (
    *_ghost_module("ghost1", 1),
    Rule(r"conv_dw", "conv3"),
    Rule(r"bn_dw", "bn3"),
    *_ghost_module("ghost2", 4),
    *(
        Rule(rf"ghost1\.short_conv\.{2 * i + offset}", f"spread/{layer}{i + 1}")
        for i in range(3)
        for offset, layer in enumerate(("conv", "bn"))
    ),
    *(
        Rule(rf"shortcut\.{2 * i + offset}", f"shortcut_{layer}{i + 1}")
        for i in range(2)
        for offset, layer in enumerate(("conv", "bn"))
    ),
)
