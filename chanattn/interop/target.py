"""Whose weights are converted, and whether they are all there."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict

from chanattn import attention, models
from chanattn.errors import UsageError, did_you_mean, some
from chanattn.interop.names import mechanism_table
from chanattn.models.timm_names import NETWORKS, is_known, of_timm, unknown

_CONV_SLOT = [name for name in attention.names() if attention.describe(name).slot == "conv"]
_SHOWN = 3  # of the names that a message could list


def resolve(
    target: str | models.Network,
    options: Mapping[str, Any],
    image_size: int | tuple[int, int] | None,
) -> models.Network | str:
    """The network that is meant, or the name of the mechanism, once its options are checked.

    Raises:
        UsageError: The target or an option is unknown, or a mechanism is given the size of pictures.
    """
    if not isinstance(target, str):
        return target
    if is_known(target):
        return models.create(target, **options)
    if target not in attention.names():
        raise _unknown(target)
    if image_size is not None:
        raise UsageError(f"image_size is for networks; {target!r} is a mechanism")
    mechanism_table(target)  # first that there are names at all
    context = ("filters", "stride", "groups") if target in _CONV_SLOT else ()
    attention.check_options(target, {k: v for k, v in options.items() if k not in context})
    return target


def _unknown(target: str) -> UsageError:
    if of_timm(target):
        return unknown(target)
    rows = [name for name in models.names() if target.endswith(name)]
    backbone = f" Or {max(rows, key=len)!r} with an attention?" if rows else ""
    valid = [*models.names(), *NETWORKS, *attention.names()]
    return UsageError(
        f"{target!r} is neither an architecture (`python -m chanattn.models` lists them) nor a mechanism"
        f" (`python -m chanattn.attention`).{backbone or did_you_mean(target, valid)}"
    )


def shapes_of(model: models.Network, size: tuple[int, int]) -> dict[str, Any]:
    """Shapes and types of all variables by path, for pictures of that height and width."""
    image = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
    variables = dict(jax.eval_shape(model.init, jax.random.key(0), image))
    shapes: dict[str, Any] = flatten_dict(variables, sep="/")
    return shapes


def _depends_on_size(
    model: models.Network, size: tuple[int, int], wanted: Mapping[str, Any]
) -> bool:
    """Whether pictures of another size could give other parameters."""
    height, width = size
    for other in ((height + 32, width + 32), (height * 7 // 8, width * 7 // 8)):
        try:
            if shapes_of(model, other) != wanted:
                return True
        except UsageError:
            return True
    return False


def check_complete(
    model: models.Network,
    variables: Mapping[str, Any],
    image_size: int | tuple[int, int] | None,
    given_as: str,
) -> None:
    """Refuse variables that are not all of those of a network, or of another shape.

    Args:
        model: The network.
        variables: Its variables.
        image_size: Side of the pictures, or height and width; None: those that the network is for.
        given_as: What the user gave, for the message.

    Raises:
        UsageError: Some are missing, too many or have another shape; the message lists a few.
    """
    side = image_size or model.image_size
    size = (side, side) if isinstance(side, int) else side
    of_other_pictures = f" For pictures that are not {size[0]} x {size[1]}, give image_size."
    try:
        wanted = shapes_of(model, size)
    except UsageError as error:
        raise UsageError(f"{str(error).removesuffix('.')}.{of_other_pictures}") from error
    given = flatten_dict(dict(variables), sep="/")
    there = "in PyTorch" if given_as == "PyTorch state" else "in these"
    mistakes = []
    missing = sorted(wanted.keys() - given.keys())
    if missing:
        mistakes.append(f"lacks {len(missing)} arrays, e.g. for {some(map(repr, missing))}")
    unexpected = sorted(given.keys() - wanted.keys())
    if unexpected:
        mistakes.append(
            f"has {len(unexpected)} arrays too many, e.g. for {some(map(repr, unexpected))}"
        )
    shapes = [
        f"{path!r} has shape {given[path].shape} {there}, {wanted[path].shape} here"
        for path in sorted(given.keys() & wanted.keys())
        if given[path].shape != wanted[path].shape
    ]
    if shapes:
        more = f", and {len(shapes) - _SHOWN} more differ" if len(shapes) > _SHOWN else ""
        mistakes.append(f"does not fit: {', '.join(shapes[:_SHOWN])}{more}")
    if mistakes:
        raise UsageError(
            f"the {given_as} {'; it '.join(mistakes)}. Is it of this architecture, attention and number"
            " of classes?" + (of_other_pictures if _depends_on_size(model, size, wanted) else "")
        )
