"""Gates on statistics of each channel, without layers between them."""

import numpy as np

from chanattn.interop.names.layouts import CHANNELS, TRANSPOSED, Axes
from chanattn.interop.names.rules import Leaf, Rule, Table

TABLES: dict[str, Table] = {
    "gct": (Leaf(r"(alpha|gamma|beta)", r"mix/\1", CHANNELS),),
    "gaussian_ct": (Leaf(r"c", "mix/theta", Axes(np.squeeze, np.asarray)),),
    "srm": (
        Leaf(r"cfc", "mix/kernel", TRANSPOSED),
        Rule(r"bn", "mix/norm"),
    ),
    "lct": (
        Leaf(r"w|gn\.weight", "mix/norm/scale"),
        Leaf(r"b|gn\.bias", "mix/norm/bias"),
    ),
    "grn": (
        Leaf(r"weight|gamma", "gamma"),
        Leaf(r"bias|beta", "beta"),
    ),
    "sge": (
        Leaf(r"weight", "gamma", CHANNELS),
        Leaf(r"bias", "beta", CHANNELS),
    ),
    "shuffle": (
        Leaf(r"cweight", "channel_affine/scale", CHANNELS),
        Leaf(r"cbias", "channel_affine/bias", CHANNELS),
        Leaf(r"sweight", "spatial_affine/scale", CHANNELS),
        Leaf(r"sbias", "spatial_affine/bias", CHANNELS),
        Rule(r"gn", "norm", "norm"),
    ),
}
