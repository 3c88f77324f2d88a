"""PyTorch parameters to Flax variables."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import unflatten_dict

from chanattn import models
from chanattn.errors import UsageError, some
from chanattn.interop.families import check_family
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
from chanattn.interop.names.layouts import weight_here
from chanattn.interop.target import check_complete, resolve

STATISTICS = {"running_mean": "mean", "running_var": "var"}
COUNTER = "num_batches_tracked"
"""Of a batch norm: only PyTorch counts the batches, and only where it has no momentum uses the count."""
_LEAVES = ("weight", "bias", *STATISTICS)  # of a layer


def from_torch(
    target: str | models.Network,
    state_dict: Mapping[str, Any],
    *,
    image_size: int | tuple[int, int] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Flax variables from a PyTorch `state_dict`.

    Args:
        target: A mechanism (`"se"`), an architecture or a network of timm's by name (`"seresnet50.a1_in1k"`
            is `"resnet50"` with `attention={"name": "se", "rounding": "timm"}`), or a network.
        state_dict: Names to arrays, in timm's or the authors' naming.
        image_size: Of a network: side of the pictures, or height and width, where parameters depend on them
            (learned gather-excite, frequencies). None: those that the network was published for.
        **options: Of an architecture: what `models.create` takes. Of a mechanism: what `attention.create`
            takes. Most show in the arrays and can be left out; `groups` of grouped layers (`splat`, `se_gc`)
            cannot.

    Returns:
        `{"params": ..., "batch_stats": ...}`, the latter only where there are running statistics. Of a
        network with another head than a classifier, or none, they are those of the backbone, and a classifier
        in the state is left out. The running
        variance is taken as it is: PyTorch's is the unbiased estimate, ours the biased one, which differ by
        n / (n - 1) in training and not at all in inference.

    Raises:
        UsageError: The target or an option is unknown, names have no counterpart, or, for networks, are those
            of one that is built otherwise, or some are missing or have another shape; the message lists a
            few.
    """
    model = resolve(target, options, image_size)
    if isinstance(model, str):
        return convert(state_dict, mechanism_table(model), groups=options.get("groups") or 1)
    if model.head != "classifier":
        model = model.clone(head="")
    groups = model.cardinality if isinstance(model, models.ResNet) else 1
    check_family(model, dict(_items(state_dict)))
    variables = convert(state_dict, network_table(model), groups=groups)
    check_complete(model, variables, image_size, "PyTorch state")
    return variables


def convert(state_dict: Mapping[str, Any], table: Table, groups: int = 1) -> dict[str, Any]:
    """Rename and rearrange every array by a table; `groups` is that of the grouped dense layers.

    Raises:
        UsageError: Names have no counterpart, two have the same, or an array is none or has not the
            dimensions that its name promises.
    """
    flat: dict[str, Any] = {}
    origins: dict[str, str] = {}
    unknown = []
    for name, given in _items(state_dict):
        leaf = name.rpartition(".")[2]
        if leaf == COUNTER:
            continue
        match = _find(name, table)
        if match is None:
            unknown.append(name)
            continue
        if isinstance(match.entry, Skip):
            continue
        array = _numbers(name, given)
        try:
            path, value = _place(match, leaf, array, groups)
        except (ValueError, IndexError) as error:
            raise UsageError(
                f"the PyTorch parameter {name!r} has shape {array.shape}, which fits no such layer here"
            ) from error
        if path in flat:
            raise UsageError(
                f"the PyTorch parameters {origins[path]!r} and {name!r} are the same one here, {path!r}"
            )
        flat[path], origins[path] = jnp.asarray(value), name
    if unknown:
        first, *rest = unknown
        more = f" (nor have {some(map(repr, rest))})" if rest else ""
        raise UsageError(
            f"the PyTorch parameter {first!r} has no counterpart here{more}{_without_wrapper(unknown, table)}"
        )
    return unflatten_dict(flat, sep="/")


def _items(state_dict: Mapping[str, Any]) -> list[tuple[str, Any]]:
    if not isinstance(state_dict, Mapping):
        raise UsageError(
            f"a PyTorch state maps names to arrays, as module.state_dict() does; this is a"
            f" {type(state_dict).__name__}"
        )
    for name, value in state_dict.items():
        if not isinstance(name, str):
            raise UsageError(f"the names of a PyTorch state must be text, not {name!r}")
        if isinstance(value, Mapping):
            raise UsageError(
                f"the PyTorch state has another one below {name!r}: take state_dict[{name!r}]"
            )
    return list(state_dict.items())


def _find(name: str, table: Table) -> Match | None:
    match = find(name, table)
    if match and isinstance(match.entry, Rule) and name.rpartition(".")[2] not in _LEAVES:
        return None
    return match


def _numbers(name: str, value: Any) -> np.ndarray:
    """The array itself, or that of a tensor of PyTorch, which NumPy cannot look into in all its types."""
    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu()
            value = value.float() if value.is_floating_point() else value
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"the PyTorch parameter {name!r} is a {type(value).__name__} that NumPy cannot read ({error})"
        ) from error
    if not (jnp.issubdtype(array.dtype, jnp.floating) or array.dtype.kind in "biu"):
        raise UsageError(
            f"the PyTorch parameter {name!r} is no array of real numbers but {array.dtype}"
        )
    return array


def _without_wrapper(unknown: Sequence[str], table: Table) -> str:
    """A hint if the names are known without what is in front of all of them ("module.", "model.")."""
    parts = unknown[0].split(".")
    for count in range(1, len(parts)):
        prefix = ".".join(parts[:count]) + "."
        if all(
            name.startswith(prefix) and _find(name.removeprefix(prefix), table) for name in unknown
        ):
            return (
                f"; without {prefix!r}, which a wrapper put in front of them, they are known: give"
                f" {{name.removeprefix({prefix!r}): array for name, array in state_dict.items()}}"
            )
    return ""


def _place(match: Match, leaf: str, value: np.ndarray, groups: int) -> tuple[str, np.ndarray]:
    """Collection and path of an array, and the array as it stands there."""
    entry, path = match.entry, match.path
    if isinstance(entry, Leaf):
        return f"params/{path}", entry.layout.here(value)
    if leaf in STATISTICS:
        return f"batch_stats/{path}/{STATISTICS[leaf]}", value
    assert isinstance(entry, Rule)
    if leaf == "weight":
        ours, value = weight_here(value, entry.layout, groups)
        return f"params/{path}/{ours}", value
    return f"params/{path}/{leaf}", value.ravel()
