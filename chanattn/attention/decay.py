"""Which parameters weight decay acts on: one rule for every mechanism, and for the network around it."""

from collections.abc import Sequence

import jax

_NEVER = ("bias", "embedding")


def decays(path: Sequence[str], parameter: jax.Array | jax.ShapeDtypeStruct) -> bool:
    """Whether weight decay acts on a parameter: it has two axes or more, and is no bias or embedding.

    Matrices, convolutions, codewords and bases decay; what has one number a channel, a group or a tap
    (scales, shifts, temperatures, ECA's kernel) does not. It is the rule of timm
    (`param_groups_weight_decay`), DeiT and ConvNeXt, applied to the shapes of this package: PyTorch gives
    ECA's taps three axes, so timm decays them. The authors of most mechanisms pass all parameters to
    `torch.optim`, which decays every one.

    Args:
        path: Names from the outermost module to the parameter.
        parameter: The array, or its shape and type.
    """
    return parameter.ndim >= 2 and path[-1] not in _NEVER
