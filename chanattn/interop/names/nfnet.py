"""Names of timm's nfnet.py."""

import numpy as np

from chanattn.interop.names.layouts import SAME, Axes
from chanattn.interop.names.mechanisms import mechanism_table
from chanattn.interop.names.rules import Leaf, Part, Rule, Table
from chanattn.models.nfnet import NFNet

_GAIN = Axes(np.ravel, lambda a: a.reshape(-1, 1, 1, 1))


def _conv(name: str, ours: str) -> Table:
    """A convolution with its gain."""
    return Leaf(rf"{name}\.gain", rf"{ours}/gain", _GAIN), Rule(name, ours)


def ends_table(model: NFNet) -> Table:
    """The table of what is outside of the blocks."""
    if model.stem == "quad":
        stem = _conv(r"stem\.conv(\d)", r"stem_conv\1")
    else:
        stem = _conv(r"stem\.conv", "stem_conv1")
    return *stem, *_conv(r"final_conv", "final_conv")


def block_table(model: NFNet) -> Table:
    """The table of a block."""
    place = "attn_last" if model.slots.gate.placement == "post" else "attn"
    convs = ["1", "2", "2b", "3"] if model.extra_conv else ["1", "2", "3"]
    return (
        Part(rf"{place}\.", "attention/", mechanism_table(model.slots.gate.name)),
        *(entry for n, conv in enumerate(convs, 1) for entry in _conv(f"conv{conv}", f"conv{n}")),
        *_conv(r"downsample\.conv", "shortcut"),
        Leaf(r"skipinit_gain", "skip_gain", SAME),
    )
