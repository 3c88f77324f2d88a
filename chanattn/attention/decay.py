"""Which parameters weight decay acts on: one rule for every mechanism, and for the network around it."""

from collections.abc import Sequence

import jax

_NEVER = ("bias", "embedding")


def decays(path: Sequence[str], parameter: jax.Array | jax.ShapeDtypeStruct) -> bool:
    """Whether weight decay acts on a parameter: on weights of linear maps, and on all with two axes or more.

    Matrices, convolutions (ECA's taps among them), codewords and bases decay; scales, shifts, biases and
    temperatures, which have one number a channel or a group, do not. So timm's rule
    (`param_groups_weight_decay`, also of DeiT and ConvNeXt) treats the same layers. The authors of most
    mechanisms pass all parameters to `torch.optim`, which decays every one.

    Args:
        path: Names from the outermost module to the parameter, or one text of them with slashes.
        parameter: The array, or its shape and type.
    """
    path = path.split("/") if isinstance(path, str) else path
    return path[-1] not in _NEVER and (path[-1] == "kernel" or parameter.ndim >= 2)
