"""PyTorch parameters to Flax variables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import unflatten_dict

from chanattn import models
from chanattn.attention import describe
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
from chanattn.interop.wrappers import unwrapped

STATISTICS = {"running_mean": "mean", "running_var": "var"}
COUNTER = "num_batches_tracked"
"""Of a batch norm: only PyTorch counts the batches, and only where it has no momentum uses the count."""
_COUNTERS = (COUNTER, "n_averaged")  # the other one of `torch.optim.swa_utils.AveragedModel`
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
        state_dict: Names to arrays, in timm's or the authors' naming; what programs put around it is taken
            off, see `chanattn.interop.wrappers`.
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
            few. Of a mechanism, whose number of channels is not known, it is seen only if all are missing.
    """
    model = resolve(target, options, image_size)
    if isinstance(model, str):
        variables = convert(state_dict, mechanism_table(model), groups=options.get("groups") or 1)
        if not variables and describe(model).parameters != "0":
            raise UsageError(f"the PyTorch state has no arrays, and {model!r} needs some")
        return variables
    if model.head != "classifier":
        model = model.backbone()
    variables = unflatten_dict(_complete(rearranged_for(model, state_dict)), sep="/")
    check_complete(model, variables, image_size, "PyTorch state")
    return variables


def convert(state_dict: Mapping[str, Any], table: Table, groups: int = 1) -> dict[str, Any]:
    """Rename and rearrange every array by a table; `groups` is that of the grouped dense layers.

    Raises:
        UsageError: Names have no counterpart, two have the same, or an array is none or has not the
            dimensions that its name promises.
    """
    return unflatten_dict(_complete(rearranged(state_dict, table, groups)), sep="/")


@dataclass(frozen=True)
class Rearranged:
    """The arrays of a state as they lie here.

    Attributes:
        arrays: By collection and path, "params/stem/conv1/kernel".
        names: The names that they had, likewise.
        unfit: What could not be placed: name to reason.
        hint: What to do about unknown names, where that can be told.
    """

    arrays: dict[str, np.ndarray]
    names: dict[str, str]
    unfit: dict[str, str]
    hint: str = ""


UNKNOWN = "has no counterpart here"


def rearranged_for(model: models.Network, state_dict: Mapping[str, Any]) -> Rearranged:
    """Those of a network.

    Raises:
        UsageError: The names are those of a network that is built otherwise; or as `rearranged`.
    """
    table = network_table(model)
    check_family(model, _unwrapped(state_dict, table))
    groups = model.cardinality if isinstance(model, models.ResNet) else 1
    return rearranged(state_dict, table, groups)


def rearranged(state_dict: Mapping[str, Any], table: Table, groups: int = 1) -> Rearranged:
    """Rename and rearrange what can be, see `convert`.

    Raises:
        UsageError: Two names are the same one here, or an array is none.
    """
    found = Rearranged({}, {}, {})
    unknown = []
    for name, given in _unwrapped(state_dict, table).items():
        leaf = name.rpartition(".")[2]
        if leaf in _COUNTERS:
            continue
        match = _find(name, table)
        if match is None:
            unknown.append(name)
            found.unfit[name] = UNKNOWN
            continue
        if isinstance(match.entry, Skip):
            continue
        array = _numbers(name, given)
        try:
            path, value = _place(match, leaf, array, groups)
        except (ValueError, IndexError):
            found.unfit[name] = f"has shape {array.shape}, which fits no such layer here"
            continue
        if path in found.arrays:
            raise UsageError(
                f"the PyTorch parameters {found.names[path]!r} and {name!r} are the same one here, {path!r}"
            )
        found.arrays[path], found.names[path] = value, name
    return replace(found, hint=_without_wrapper(unknown, table)) if unknown else found


def _complete(found: Rearranged) -> dict[str, jax.Array]:
    """The arrays, if all were placed."""
    for name, reason in found.unfit.items():
        if reason != UNKNOWN:
            raise UsageError(f"the PyTorch parameter {name!r} {reason}")
    if found.unfit:
        first, *rest = found.unfit
        more = f" (nor have {some(map(repr, rest))})" if rest else ""
        raise UsageError(f"the PyTorch parameter {first!r} {UNKNOWN}{more}{found.hint}")
    # `jnp.asarray` would compile a program for every shape. Copies, for the state is the caller's.
    return {path: jax.device_put(value, may_alias=False) for path, value in found.arrays.items()}


def _unwrapped(state_dict: Mapping[str, Any], table: Table) -> dict[str, Any]:
    def known(name: str) -> bool:
        return name.rpartition(".")[2] in _COUNTERS or _find(name, table) is not None

    if isinstance(state_dict, Mapping):
        state_dict = unwrapped(state_dict, known)
    return dict(_items(state_dict))


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
