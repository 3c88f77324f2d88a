"""SE, ECA, CBAM, their relatives, and the controls."""

import numpy as np

from chanattn.interop.names.rules import Leaf, Rule, Table


def blocks(w: np.ndarray) -> np.ndarray:
    """(C, C / G, ...) of a grouped convolution, C to C channels, -> (G, C / G, C / G), inputs first."""
    channels, per_group = w.shape[:2]
    return w.reshape(channels // per_group, per_group, per_group).transpose(0, 2, 1)


# timm, EfficientNet; then plain `Sequential`s and mmpretrain.
SE: Table = (
    Rule(r"fc1|conv_reduce|fc\.0|conv1\.conv", "mix/reduce", "dense"),
    Rule(r"fc2|conv_expand|fc\.2|conv2\.conv", "mix/expand", "dense"),
    Rule(r"bn", "mix/norm"),
)

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
    "se_gc": (Rule(r"fc|conv", "mix/dense", blocks),),
    "ese": (Rule(r"fc", "mix/dense", "dense"),),
    "cse": SE,
    "sse": (Rule(r"conv", "conv"),),
    # Authors' names, then those of segmentation_models_pytorch.
    "scse": (
        Rule(r"cSE\.(fc1|1)", "channel/mix/reduce", "dense"),
        Rule(r"cSE\.(fc2|3)", "channel/mix/expand", "dense"),
        Rule(r"sSE\.(conv|0)", "spatial/conv"),
    ),
    "eca": _TAPS,
    "eca_ns": (Rule(r"conv", "mix", lambda w: w[:, 0].T),),
    "ceca": _TAPS,
    "eca_mlp": (
        Leaf(r"conv\.weight", "mix/lift"),
        Leaf(r"conv\.bias", "mix/lift_bias"),
        Leaf(r"conv2\.weight", "mix/kernel", lambda w: w[0].T),
        Leaf(r"conv2\.bias", "mix/bias"),
    ),
    "cbam": _CBAM,
    "cbam_light": _CBAM,
    "constant": (),
    "random": (),
    "static": (Leaf(r"gamma|layer_scale", "scale"),),
}
