"""Flax variables to PyTorch parameters: the tables of `from_torch` read backwards."""

from collections.abc import Collection, Mapping
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict

from chanattn import models
from chanattn.attention.start import RESIDUAL_WEIGHT
from chanattn.errors import UsageError, did_you_mean, some
from chanattn.interop.families import WORDS, file_of, words
from chanattn.interop.from_torch import COUNTER, STATISTICS
from chanattn.interop.names import Leaf, Match, Rule, Table, mechanism_table, network_table, spell
from chanattn.interop.names.layouts import weight_there
from chanattn.interop.target import check_complete, resolve

_COLLECTIONS = ("params", "batch_stats")
_TORCH_STATISTICS = {ours: theirs for theirs, ours in STATISTICS.items()}


def to_torch(
    target: str | models.Network,
    variables: Mapping[str, Any],
    *,
    naming: str = "timm",
    image_size: int | tuple[int, int] | None = None,
    **options: Any,
) -> dict[str, np.ndarray]:
    """A PyTorch `state_dict` from Flax variables, the inverse of `from_torch`.

    Args:
        target: A mechanism (`"se"`), an architecture, or a network, as in `from_torch`.
        variables: `{"params": ..., "batch_stats": ...}`.
        naming: "timm": the names that timm has in the file that the network is of; those of a mechanism are
            of timm's module or, where timm has none, of the authors' code. Of a mechanism also such a file,
            where these differ (`"efficientnet.py"` calls the layers of SE `conv_reduce` and `conv_expand`).
        image_size: Of a network, as in `from_torch`.
        **options: As in `from_torch`.

    Returns:
        Names to arrays, in the types of the variables, with `num_batches_tracked` (0) of every batch norm, so
        that `load_state_dict(strict=True)` takes them. Fixed buffers of authors' code that are no parameters
        here (the cosines of `fca`) are not among them. The running variance is taken as it is, see
        `from_torch`.

    Raises:
        UsageError: The target, the naming or an option is unknown, there are variables without PyTorch names,
            or, for networks, some are missing or have another shape.
    """
    model = resolve(target, options, image_size)
    valid = ["timm", *(WORDS if isinstance(model, str) else [file_of(model)])]
    if naming not in valid:
        raise UsageError(
            f"unknown naming {naming!r}; valid: {', '.join(map(repr, valid))}."
            f"{did_you_mean(naming, valid)}"
        )
    unknown = sorted(set(variables) - set(_COLLECTIONS))
    if unknown:
        raise UsageError(
            f"a PyTorch state holds params and batch_stats; leave out {some(map(repr, unknown))}"
        )
    if isinstance(model, str):
        return rename(variables, mechanism_table(model), WORDS.get(naming, ()))
    table = network_table(model)
    check_complete(model, variables, image_size, "set of variables")
    return rename(variables, table, words(model))


def rename(
    variables: Mapping[str, Any], table: Table, preferred: Collection[str] = ()
) -> dict[str, np.ndarray]:
    """Rename and rearrange every array by a table; `preferred` are words of names, see `spell`.

    Raises:
        UsageError: Some have no names.
    """
    state: dict[str, np.ndarray] = {}
    unnamed = []
    for whole, array in flatten_dict(dict(variables), sep="/").items():
        collection, _, path = whole.partition("/")
        module, _, leaf = path.rpartition("/")
        found = spell(path, table, preferred) if collection == "params" else None
        found = found or spell(module, table, preferred)
        if found is None:
            unnamed.append(whole)
            continue
        name, match = found
        state |= _named(name, match, leaf, np.asarray(jax.device_get(array)))
    if unnamed:
        first, *rest = unnamed
        if any(whole.endswith(f"/{RESIDUAL_WEIGHT}") for whole in unnamed):
            raise UsageError(
                "PyTorch's networks have no attention that started as the identity, with a residual weight"
                f" ({some(map(repr, unnamed))}); `python -m chanattn.export RUN --format=stablehlo` writes it"
            )
        more = f" (nor for {some(map(repr, rest))})" if rest else ""
        raise UsageError(f"no PyTorch name is known for {first!r}{more}")
    return state


def _named(name: str, match: Match, leaf: str, array: np.ndarray) -> dict[str, np.ndarray]:
    """An array under its name; with a running mean comes the counter."""
    entry = match.entry
    if isinstance(entry, Leaf):
        return {name: np.asarray(entry.layout.there(array), order="C")}
    if leaf in _TORCH_STATISTICS:
        counter = {f"{name}.{COUNTER}": np.zeros((), np.int64)} if leaf == "var" else {}
        return {f"{name}.{_TORCH_STATISTICS[leaf]}": array} | counter
    if leaf == "bias":
        return {f"{name}.bias": array}
    assert isinstance(entry, Rule)
    return {f"{name}.weight": np.asarray(weight_there(leaf, array, entry.layout), order="C")}
