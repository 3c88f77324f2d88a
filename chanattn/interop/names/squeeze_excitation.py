"""SE, ECA, CBAM, their relatives, and the controls."""

import numpy as np

from chanattn.interop.names.layouts import Axes, Layout
from chanattn.interop.names.rules import Leaf, Rule, Table

# (C, C / G, 1, 1) of a grouped convolution, C to C channels, <-> (G, C / G, C / G), inputs first.
_BLOCKS = Axes(
    lambda w: w.reshape(-1, w.shape[1], w.shape[1]).transpose(0, 2, 1),
    lambda w: w.transpose(0, 2, 1).reshape(-1, w.shape[1], 1, 1),
)


def _se(layout: Layout) -> Table:
    """Names of timm, of EfficientNet, then of plain `Sequential`s and mmpretrain."""
    return (
        Rule(r"fc1|conv_reduce|fc\.0|conv1\.conv", "mix/reduce", layout),
        Rule(r"fc2|conv_expand|fc\.2|conv2\.conv", "mix/expand", layout),
        Rule(r"bn", "mix/norm"),
    )


SE = _se("dense")

_TAPS: Table = (Rule(r"conv", "mix", "taps"),)

_CBAM: Table = (
    Rule(r"(channel\.)?fc1", "channel/mix/reduce", "dense"),
    Rule(r"(channel\.)?fc2", "channel/mix/expand", "dense"),
    Rule(r"spatial\.conv\.(conv|bn)", r"spatial/\1"),
    Rule(r"(ChannelGate\.)?mlp\.1", "channel/mix/reduce"),
    Rule(r"(ChannelGate\.)?mlp\.3", "channel/mix/expand"),
    Rule(r"SpatialGate\.spatial\.(conv|bn)", r"spatial/\1"),
)

TABLES: dict[str, Table] = {
    "se": SE,
    "se_var1": (),
    "se_gc": (Rule(r"fc|conv", "mix/dense", _BLOCKS),),
    "ese": (Rule(r"fc", "mix/dense", "dense"),),
    # The layers of BiSeNet's gates alone: the convolution before each is a layer of the network.
    "arm": (Rule(r"1\.conv", "mix/dense", "dense"), Rule(r"1\.bn", "mix/norm")),
    "ffm": (
        Rule(r"2\.conv", "mix/expand", "dense"),
        Rule(r"1\.conv", "mix/reduce", "dense"),
    ),
    "cse": _se("linear"),
    "sse": (Rule(r"conv", "conv"),),
    # Authors' names, then those of segmentation_models_pytorch.
    "scse": (
        Rule(r"cSE\.(fc1|1)", "channel/mix/reduce", "linear"),
        Rule(r"cSE\.(fc2|3)", "channel/mix/expand", "linear"),
        Rule(r"sSE\.(conv|0)", "spatial/conv"),
    ),
    "eca": _TAPS,
    "eca_ns": (Rule(r"conv", "mix", Axes(lambda w: w[:, 0].T, lambda w: w.T[:, None])),),
    "ceca": _TAPS,
    "eca_mlp": (
        Leaf(r"conv\.weight", "mix/lift", Axes(np.ravel, lambda w: w.reshape(-1, 1, 1))),
        Leaf(r"conv\.bias", "mix/lift_bias"),
        Leaf(r"conv2\.weight", "mix/kernel", Axes(lambda w: w[0].T, lambda w: w.T[None])),
        Leaf(r"conv2\.bias", "mix/bias"),
    ),
    "cbam": _CBAM,
    "cbam_light": _CBAM,
    "constant": (),
    "random": (),
    "static": (Leaf(r"gamma|layer_scale", "scale"),),
}
