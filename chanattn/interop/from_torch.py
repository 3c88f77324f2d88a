"""PyTorch parameters to Flax variables."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from chanattn import attention, models
from chanattn.errors import UsageError
from chanattn.interop.names import (
    Leaf,
    Match,
    Rule,
    Skip,
    Table,
    find,
    mechanism_table,
    network_table,
)
from chanattn.interop.names.rules import Layout

_CONV_SLOT = [name for name in attention.names() if attention.describe(name).slot == "conv"]
_STATISTICS = {"running_mean": "mean", "running_var": "var"}
_IGNORED = ("num_batches_tracked",)
_SHOWN = 3  # of the names that a message could list


def from_torch(
    target: str | models.Network,
    state_dict: Mapping[str, Any],
    *,
    image_size: int | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Flax variables from a PyTorch `state_dict`.

    Args:
        target: A mechanism (`"se"`), an architecture (`"seresnet50"` is `"resnet50"` with the option
            `attention={"name": "se", "rounding": "timm"}`), or a network.
        state_dict: Names to arrays, in timm's or the authors' naming.
        image_size: Of a network: side of the pictures, where parameters depend on it (learned gather-excite,
            frequencies). None: 32 for CIFAR networks, else 224.
        **options: Of an architecture: what `models.create` takes. Of a mechanism: what `attention.create`
            takes. Most show in the arrays and can be left out; `groups` of grouped layers (`splat`, `se_gc`)
            cannot.

    Returns:
        `{"params": ..., "batch_stats": ...}`, the latter only where there are running statistics. The running
        variance is taken as it is: PyTorch's is the unbiased estimate, ours the biased one, which differ by
        n / (n - 1) in training and not at all in inference.

    Raises:
        UsageError: The target or an option is unknown, names have no counterpart, or, for networks, some are
            missing or have another shape; the message lists a few.
    """
    if isinstance(target, str) and target not in models.names():
        if image_size is not None:
            raise UsageError(f"image_size is for networks; {target!r} is a mechanism")
        table = mechanism_table(target)
        context = ("filters", "stride", "groups") if target in _CONV_SLOT else ()
        attention.check_options(target, {k: v for k, v in options.items() if k not in context})
        return convert(state_dict, table, groups=options.get("groups") or 1)
    model = models.create(target, **options) if isinstance(target, str) else target
    groups = model.cardinality if isinstance(model, models.ResNet) else 1
    variables = convert(state_dict, network_table(model), groups=groups)
    _check_complete(model, variables, image_size or model.image_size)
    return variables


def convert(state_dict: Mapping[str, Any], table: Table, groups: int = 1) -> dict[str, Any]:
    """Rename and rearrange every array by a table; `groups` is that of the grouped dense layers.

    Raises:
        UsageError: Names have no counterpart, or an array has not the dimensions that its name promises.
    """
    flat: dict[tuple[str, ...], Any] = {}
    unknown = []
    for name, array in state_dict.items():
        leaf = name.rpartition(".")[2]
        if leaf in _IGNORED:
            continue
        match = find(name, table)
        if match is None:
            unknown.append(name)
            continue
        if isinstance(match.entry, Skip):
            continue
        try:
            path, value = _place(match, leaf, np.asarray(array), groups)
        except (ValueError, IndexError) as error:
            raise UsageError(
                f"the PyTorch parameter {name!r} has shape {np.shape(array)}, which fits no such layer here"
            ) from error
        flat[tuple(path.split("/"))] = jnp.asarray(value)
    if unknown:
        first, *rest = unknown
        more = f" (nor have {_some(rest)})" if rest else ""
        raise UsageError(f"the PyTorch parameter {first!r} has no counterpart here{more}")
    return unflatten_dict(flat)


def _place(match: Match, leaf: str, value: np.ndarray, groups: int) -> tuple[str, np.ndarray]:
    """Collection and path of an array, and the array as it stands there."""
    entry, path = match.entry, match.path
    if isinstance(entry, Leaf):
        return f"params/{path}", entry.layout(value)
    if leaf in _STATISTICS:
        return f"batch_stats/{path}/{_STATISTICS[leaf]}", value
    assert isinstance(entry, Rule)
    if leaf == "weight":
        ours, value = _weight(value, entry.layout, groups)
        return f"params/{path}/{ours}", value
    return f"params/{path}/{leaf}", value.ravel()


def _weight(w: np.ndarray, layout: Layout, groups: int) -> tuple[str, np.ndarray]:
    """Our leaf name and array of a torch weight."""
    if callable(layout):
        return "kernel", layout(w)
    if layout == "norm":
        return "scale", w.ravel()
    if layout == "taps":  # (1, 1, k), or (C, 1, k) where each channel has its own
        return "kernel", w[0, 0] if w.shape[0] == 1 else w[:, 0].T
    if layout == "dense":  # (O, I, 1, 1) or (O, I)
        return "kernel", w.reshape(w.shape[:2]).T
    if layout == "grouped":  # (O, I / g, 1, 1)
        out, per_group = w.shape[:2]
        return "kernel", w.reshape(groups, out // groups, per_group).transpose(0, 2, 1)
    if w.ndim == 4:  # (O, I / g, h, w)
        return "kernel", w.transpose(2, 3, 1, 0)
    return ("scale", w) if w.ndim == 1 else ("kernel", w.T)


def _check_complete(model: models.Network, variables: Mapping[str, Any], image_size: int) -> None:
    image = jax.ShapeDtypeStruct((1, image_size, image_size, 3), jnp.float32)
    wanted = flatten_dict(dict(jax.eval_shape(model.init, jax.random.key(0), image)), sep="/")
    given = flatten_dict(variables, sep="/")
    mistakes = []
    missing = sorted(wanted.keys() - given.keys())
    if missing:
        mistakes.append(f"lacks {len(missing)} arrays, e.g. for {_some(missing)}")
    unexpected = sorted(given.keys() - wanted.keys())
    if unexpected:
        mistakes.append(f"has {len(unexpected)} arrays too many, e.g. for {_some(unexpected)}")
    shapes = [
        f"{path!r} has shape {given[path].shape} in PyTorch, {wanted[path].shape} here"
        for path in sorted(given.keys() & wanted.keys())
        if given[path].shape != wanted[path].shape
    ]
    if shapes:
        more = f", and {len(shapes) - _SHOWN} more differ" if len(shapes) > _SHOWN else ""
        mistakes.append(f"does not fit: {', '.join(shapes[:_SHOWN])}{more}")
    if mistakes:
        raise UsageError(
            f"the PyTorch state {'; it '.join(mistakes)}. Is it of this architecture, attention and number"
            " of classes?"
        )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:_SHOWN]))
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
