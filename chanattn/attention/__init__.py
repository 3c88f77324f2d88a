"""The family of channel-wise soft attention.

    module = attention.create("se", reduction=16)
    variables = module.init(key, x)           # x: (N, H, W, C)
    y = module.apply(variables, x)

`names()` lists the mechanisms, `describe(name)` tells slot, placement, options and citation. A new
mechanism is one file beside these and one line in the list below.
"""

from chanattn.attention import (  # noqa: F401  (importing a mechanism registers it)
    cbam,
    channel,
    eca,
    hard,
    identity,
    se,
    simam,
    sk,
    splat,
)
from chanattn.attention.core import ChannelAttention
from chanattn.attention.registry import (
    PLACEMENTS,
    Mechanism,
    Option,
    check_options,
    create,
    describe,
    names,
    options,
)

__all__ = [
    "PLACEMENTS",
    "ChannelAttention",
    "Mechanism",
    "Option",
    "check_options",
    "create",
    "describe",
    "names",
    "options",
]
