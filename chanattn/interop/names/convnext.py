"""Names of timm's convnext.py."""

from chanattn.interop.names.layouts import Axes, Layout
from chanattn.interop.names.mechanisms import mechanism_table
from chanattn.interop.names.rules import Part, Rule, Table
from chanattn.models.convnext import ConvNeXt

# (O, I) of a linear layer, or (O, I, 1, 1), <-> (1, 1, I, O).
_LINEAR = Axes(lambda w: w.reshape(w.shape[:2]).T[None, None], lambda w: w[0, 0].T)


def ends_table(model: ConvNeXt) -> Table:
    """The table of what is outside of the blocks."""
    stages = range(2, len(model.depths) + 1)
    return (
        Rule(r"stem\.0", "stem_conv"),
        Rule(r"stem\.1", "stem_norm"),
        Rule(r"head\.norm", "pooled_norm"),
        *(Rule(rf"stages\.{i - 1}\.downsample\.0", f"stage{i}_norm") for i in stages),
        *(Rule(rf"stages\.{i - 1}\.downsample\.1", f"stage{i}_conv") for i in stages),
    )


def block_table(model: ConvNeXt) -> Table:
    """The table of a block."""
    layout: Layout = _LINEAR if model.linear else "own"
    return (
        Part(r"(mlp\.grn|attn)\.", "attention/", mechanism_table(model.slots.gate.name)),
        Rule(r"conv_dw", "conv1"),
        Rule(r"norm", "norm1"),
        Rule(r"mlp\.fc1", "conv2", layout),
        Rule(r"mlp\.fc2", "conv3", layout),
    )
