"""Weights that fit a network in part: what goes where, what stays as it was, and why."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jax import ShapeDtypeStruct

from chanattn import models
from chanattn.attention.start import RESIDUAL_WEIGHT
from chanattn.errors import UsageError, some
from chanattn.interop.from_torch import UNKNOWN, rearranged_for
from chanattn.interop.names import mechanism_table
from chanattn.interop.target import shapes_of
from chanattn.models.parts import HEAD, STEM, is_attention, part

ABSENT = "not in the weights"
_COLLECTIONS = ("params", "batch_stats")


@dataclass(frozen=True)
class Fit:
    """What becomes of the arrays of a file, or of another network, in a network.

    Paths are collection, modules and leaf: "params/stem/conv1/kernel".

    Attributes:
        shapes: Of all arrays of the network, by path.
        loaded: Those that fit by name and shape.
        fresh: The others, which stay at their initialisation: path to reason.
        surplus: Arrays without a place in the network: their names to reason.
    """

    shapes: dict[str, ShapeDtypeStruct]
    loaded: dict[str, np.ndarray]
    fresh: dict[str, str]
    surplus: dict[str, str] = field(default_factory=dict)

    def mistakes(self) -> list[str]:
        """Why these are not the weights of the network's backbone; a few words each.

        All of the backbone must be among them, but for attention, which may have been added; and all of them
        must fit, but for the head, which may be for other classes.
        """
        found = []
        absent = [
            p for p in self._backbone() if self.fresh.get(p) == ABSENT and not _in_attention(p)
        ]
        if absent:
            found.append(
                f"they lack {len(absent)} of {len(self._backbone())} arrays of the backbone, e.g."
                f" {some(map(repr, map(_short, absent)))}"
            )
        wrong = [p for p in self._backbone() if self.fresh.get(p, ABSENT) != ABSENT]
        for path in wrong:
            if part(_modules(path)[0]) == STEM:
                found.append(f"the stem is another one: {_short(path)!r} {self.fresh[path]}")
                break
        else:
            if wrong:
                more = f", and {len(wrong) - 1} more differ" if wrong[1:] else ""
                found.append(f"{_short(wrong[0])!r} {self.fresh[wrong[0]]}{more}")
        if silent := self.silenced():
            found.append(
                f"they have a trained {silent!r}, which attention.start=identity would switch off: leave"
                " start empty"
            )
        if self.surplus:
            name, reason = next(iter(self.surplus.items()))
            more = f", nor have {len(self.surplus) - 1} more" if len(self.surplus) > 1 else ""
            found.append(
                f"{name.removeprefix('params/')!r} {reason}{more if reason == UNKNOWN else ''}"
            )
        return found

    def silenced(self) -> str | None:
        """A module of attention whose loaded parameters `start=identity` keeps from having any effect."""
        for path in self.fresh:
            module, _, leaf = path.rpartition("/")
            if leaf == RESIDUAL_WEIGHT and any(p.startswith(f"{module}/") for p in self.loaded):
                return _short(f"{module}/")[:-1]
        return None

    def without_head(self, reason: str) -> "Fit":
        """The same with the whole head at its initialisation."""
        head = [path for path in self.shapes if part(_modules(path)[0]) == HEAD]
        loaded = {path: array for path, array in self.loaded.items() if path not in head}
        fresh = self.fresh | dict.fromkeys(head, reason)
        return replace(self, loaded=loaded, fresh=fresh)

    def loads_backbone(self) -> bool:
        """Whether anything of the backbone is loaded."""
        return any(path in self.loaded for path in self._backbone())

    def _backbone(self) -> list[str]:
        return [path for path in self.shapes if part(_modules(path)[0]) != HEAD]


def fit(model: models.Network, weights: Mapping[str, Any], *, image_size: tuple[int, int]) -> Fit:
    """Places what has a place.

    Args:
        model: The network.
        weights: Names to arrays: PyTorch's, as `from_torch` takes them, or paths of this project,
            "params/stem/conv1/kernel", with "/" or "." between their parts.
        image_size: Height and width of the pictures.

    Raises:
        UsageError: The names are those of a network that is built otherwise, two are the same one here, or an
            array is none.
    """
    shapes = shapes_of(model, image_size)
    if own := _own_paths(weights):
        given, names, surplus = own, {path: path for path in own}, {}
    else:
        found = rearranged_for(_with_known_names(model), weights)
        given, names, surplus = found.arrays, found.names, dict(found.unfit)
    loaded: dict[str, np.ndarray] = {}
    fresh = dict.fromkeys(shapes, ABSENT)
    for path, value in given.items():
        if path not in shapes:
            surplus[names[path]] = UNKNOWN
        elif value.shape != shapes[path].shape:
            fresh[path] = _difference(path, value.shape, shapes[path].shape)
        else:
            loaded[path] = np.asarray(value)
            del fresh[path]
    return Fit(shapes, loaded, fresh, surplus)


def _with_known_names(model: models.Network) -> models.Network:
    """The network, without its gate mechanism if that has no PyTorch names: it may have been added."""
    try:
        mechanism_table(model.slots.gate.name)
    except UsageError:
        return model.clone(slots=replace(model.slots, gate=models.Slot()))
    return model


def _own_paths(weights: Mapping[str, Any]) -> dict[str, np.ndarray] | None:
    """The arrays by path, if they have this project's names."""
    paths = {name.replace(".", "/"): value for name, value in weights.items()}
    if not paths or any(path.partition("/")[0] not in _COLLECTIONS for path in paths):
        return None
    return {path: np.asarray(value) for path, value in paths.items()}


def _difference(path: str, theirs: tuple[int, ...], ours: tuple[int, ...]) -> str:
    if part(_modules(path)[0]) == HEAD and theirs[:-1] == ours[:-1]:
        return f"for {theirs[-1]} classes there, {ours[-1]} here"
    if len(theirs) == len(ours) == 4 and theirs[:2] + theirs[3:] == ours[:2] + ours[3:]:
        return f"takes {theirs[2]} input channels there, {ours[2]} here"
    return f"has shape {theirs} there, {ours} here"


def _modules(path: str) -> list[str]:
    return path.split("/")[1:]


def _in_attention(path: str) -> bool:
    return is_attention(_modules(path))


def _short(path: str) -> str:
    return path.partition("/")[2]
