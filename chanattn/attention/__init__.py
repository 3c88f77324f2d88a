"""The family of channel-wise soft attention.

    module = attention.create("se", reduction=16)
    variables = module.init(key, x)           # x: (N, H, W, C)
    y = module.apply(variables, x)

`names()` lists the mechanisms, `describe(name)` tells slot, placement, options and citation. A new
mechanism is one file beside these and one line in the list below.
"""

from chanattn.attention import (  # noqa: F401  (importing a mechanism registers it)
    bam,
    bat,
    bisenet,
    cbam,
    channel,
    controls,
    coord,
    danet_cam,
    danet_pam,
    dia,
    double,
    eca,
    eca_timm,
    encnet,
    epsa,
    ese,
    fca,
    gaussian_ct,
    gc,
    gct,
    ge,
    grn,
    gsop,
    hard,
    identity,
    lct,
    non_local,
    polarized,
    sca,
    scse,
    se,
    se_variants,
    sge,
    shuffle,
    simam,
    sk,
    splat,
    srm,
    strips,
    triplet,
)
from chanattn.attention.core import ChannelAttention
from chanattn.attention.decay import decays
from chanattn.attention.mechanism import PLACEMENTS, Measurement, Mechanism, Option
from chanattn.attention.registry import (
    check_options,
    create,
    describe,
    extra_losses,
    names,
    options,
    overridden,
)

__all__ = [
    "PLACEMENTS",
    "ChannelAttention",
    "Measurement",
    "Mechanism",
    "Option",
    "check_options",
    "create",
    "decays",
    "describe",
    "extra_losses",
    "names",
    "options",
    "overridden",
]
