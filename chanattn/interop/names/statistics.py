"""Gates on statistics of each channel, without layers between them."""

import numpy as np

from chanattn.interop.names.rules import Leaf, Rule, Table

TABLES: dict[str, Table] = {
    "gct": (Leaf(r"(alpha|gamma|beta)", r"mix/\1"),),
    "gaussian_ct": (Leaf(r"c", "mix/theta", np.squeeze),),
    "srm": (
        Leaf(r"cfc", "mix/kernel", np.transpose),
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
        Leaf(r"weight", "gamma"),
        Leaf(r"bias", "beta"),
    ),
    "shuffle": (
        Leaf(r"cweight", "channel_affine/scale"),
        Leaf(r"cbias", "channel_affine/bias"),
        Leaf(r"sweight", "spatial_affine/scale"),
        Leaf(r"sbias", "spatial_affine/bias"),
        Rule(r"gn", "norm", "norm"),
    ),
}
