"""Names of timm's regnet.py."""

from chanattn.interop.names.mechanisms import mechanism_table
from chanattn.interop.names.rules import Part, Rule, Table
from chanattn.models import Network, ResNet


def is_regnet(model: Network) -> bool:
    """Whether it is a network of that file."""
    return isinstance(model, ResNet) and model.stem.startswith("conv3") and not model.width_of_input


def stem_table(model: ResNet) -> Table:
    """The table of a stem of one 3x3 convolution, also that of byobnet.py."""
    if model.stem == "conv3_bare":
        return (Rule("stem", "stem/conv1"),)
    return (Rule(r"stem\.(conv|bn)", r"stem/\g<1>1"),)


def block_table(model: ResNet) -> Table:
    """The table of a block."""
    attention = Part(r"se\.", "attention/", mechanism_table(model.slots.gate.name))
    if not model.block.startswith("preact"):
        joined = Rule(r"conv(\d)\.(conv|bn)", r"\2\1")
        return attention, joined, Rule(r"downsample\.(conv|bn)", r"shortcut/\1")
    shortcut = r"downsample\.1" if model.shortcut == "avg_pool" else "downsample"
    return (
        attention,
        Rule(r"conv(\d)", r"conv\1"),
        Rule(r"norm(\d)", r"bn\1"),
        Rule(shortcut, "shortcut/conv"),
    )
