"""PyTorch parameters to Flax variables."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from chanattn import attention, models
from chanattn.errors import UsageError
from chanattn.interop.names import Leaf, Skip, Table, find, mechanism_table, network_table
from chanattn.interop.names.rules import Layout

_CONV_SLOT = [name for name in attention.names() if attention.describe(name).slot == "conv"]
_STATISTICS = {"running_mean": "mean", "running_var": "var"}
_IGNORED = ("num_batches_tracked",)


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
        UsageError: The target or an option is unknown, a name has no counterpart, or, for networks, one is
            missing or has another shape.
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
        UsageError: A name has no counterpart.
    """
    flat = {}
    for name, array in state_dict.items():
        leaf = name.rpartition(".")[2]
        if leaf in _IGNORED:
            continue
        match = find(name, table)
        if match is None:
            raise UsageError(f"the PyTorch parameter {name!r} has no counterpart here")
        value = np.asarray(array)
        collection, path = "params", match.path
        if isinstance(match.entry, Skip):
            continue
        if isinstance(match.entry, Leaf):
            value = match.entry.layout(value)
        elif leaf in _STATISTICS:
            collection, path = "batch_stats", f"{path}/{_STATISTICS[leaf]}"
        elif leaf == "weight":
            ours, value = _weight(value, match.entry.layout, groups)
            path = f"{path}/{ours}"
        else:
            path, value = f"{path}/{leaf}", value.ravel()
        flat[(collection, *path.split("/"))] = jnp.asarray(value)
    return unflatten_dict(flat)


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
    missing = sorted(wanted.keys() - given.keys())
    if missing:
        raise UsageError(f"the PyTorch state lacks {len(missing)} arrays, e.g. for {missing[0]!r}")
    for path, array in given.items():
        if path not in wanted or wanted[path].shape != array.shape:
            shape = wanted[path].shape if path in wanted else "nothing"
            raise UsageError(f"{path!r} has shape {array.shape} in PyTorch, {shape} here")
