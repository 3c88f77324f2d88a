"""A trained network as its probes see it: where its weights are, and other ones in their place."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
from flax.traverse_util import flatten_dict, unflatten_dict

from chanattn import attention
from chanattn.attention.module import INTERVENTIONS
from chanattn.attention.start import FromIdentity

#: Arrays with the pictures as their first axis: `image` (B, H, W, 3), `mask` (B,), 1 for real pictures,
#: `index` (B,), the number of each, and whatever the network and the scores take, such as `label` (B,).
Batch = Mapping[str, Any]
#: One pass over the data, in the same order at every call.
Batches = Callable[[], Iterable[Batch]]
#: Weights by the name of their site.
Weights = Mapping[str, jax.Array]

CHANNELS, BRANCHES, POSITIONS = "channels", "branches", "positions"


@dataclass(frozen=True)
class Site:
    """One array of weights that a mechanism shows and applies.

    Attributes:
        path: In the collection `attention`: names of modules, then of the array.
        module: Path of the mechanism that it belongs to, with slashes.
        mechanism: Its registered name; "" for a module that is not registered.
        shape: Of the weights of one picture.
        kind: What the weights are of. "channels": the last axis, C of them; what lies before it are positions
            or words. "branches": (M, C), which the branches of a convolution share. "positions": of the map,
            or of its rows or columns, or what else is neither.
    """

    path: tuple[str, ...]
    module: str
    mechanism: str
    shape: tuple[int, ...]
    kind: str

    @property
    def name(self) -> str:
        """The path with slashes."""
        return "/".join(self.path)


def _first(result: Any) -> Any:
    return result[0] if isinstance(result, tuple) else result


@dataclass(frozen=True)
class Network:
    """A network, called the way its probes call it: in evaluation, with its weights shown.

    Attributes:
        model: Called as `model.apply(variables, batch["image"], train=False, **inputs(batch))`.
        inputs: What it is given beside the pictures.
        outputs: Of what it returns, what is scored; by default the first part of a tuple, as the networks of
            this package return (outputs, endpoints).
    """

    model: nn.Module
    inputs: Callable[[Batch], Mapping[str, Any]] = lambda batch: {}
    outputs: Callable[[Any], Any] = _first

    def __call__(
        self, variables: Any, batch: Batch, replaced: Weights | None = None
    ) -> tuple[Any, dict[str, jax.Array]]:
        """Outputs, and the weights that were applied, by site; to be traced.

        Args:
            variables: Of the model.
            batch: The pictures.
            replaced: Weights in place of the network's own, by site: of any shape that broadcasts to theirs;
                NaN leaves what is computed. None: nothing is replaced.
        """
        given = _with(variables, replaced)
        result, shown = self.model.apply(
            given, batch["image"], train=False, mutable=["attention"], **self.inputs(batch)
        )
        return self.outputs(result), _flat(shown.get("attention", {}))

    def maps(
        self, variables: Any, batch: Batch
    ) -> tuple[Any, dict[str, jax.Array], dict[str, Any]]:
        """As `__call__` without replacement, and the map (B, H, W, C) that every mechanism returned."""

        def wanted(module: nn.Module, method: str) -> bool:
            return attention.is_mechanism(module) and method in ("__call__", "step")

        result, seen = self.model.apply(
            variables,
            batch["image"],
            train=False,
            mutable=["attention", "intermediates"],
            capture_intermediates=wanted,
            **self.inputs(batch),
        )
        kept = flatten_dict(seen.get("intermediates", {}))
        # Of a module that is called again and again, the last call.
        maps = {"/".join(path[:-1]): _first(values[-1]) for path, values in kept.items()}
        maps = {name: each for name, each in maps.items() if getattr(each, "ndim", 0) == 4}
        return self.outputs(result), _flat(seen.get("attention", {})), maps

    def sites(self, variables: Any, batch: Batch) -> tuple[Site, ...]:
        """All weights of the network, in the order in which the mechanisms are called; from shapes alone."""
        mechanisms: dict[tuple[str, ...], tuple[str, int]] = {}

        def note(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
            result = call(*args, **kwargs)
            if attention.is_mechanism(context.module) and context.method_name in (
                "__call__",
                "step",
            ):
                path = context.module.path
                # The outer of two calls returns last, and counts.
                mechanisms[path] = _name_of(context.module), _first(result).shape[-1]
            return result

        def shown(variables: Any, batch: Batch) -> dict[str, jax.Array]:
            with nn.intercept_methods(note):
                return self(variables, batch)[1]

        shapes = jax.eval_shape(shown, variables, batch)
        outermost = [path for path in mechanisms if not _within(path[:-1], mechanisms)]
        found = []
        for name, leaf in shapes.items():
            path = tuple(name.split("/"))
            owner = _within(path[:-1], outermost) or path[:-1]
            known, channels = mechanisms.get(owner, ("", 0))
            kind = _kind(path[-1], leaf.shape[1:], known, channels)
            found.append(Site(path, "/".join(owner), known, leaf.shape[1:], kind))
        order = {"/".join(path): number for number, path in enumerate(outermost)}
        return tuple(
            sorted(
                found, key=lambda site: (order.get(site.module, len(order)), _natural(site.path))
            )
        )


def modules(sites: Sequence[Site]) -> dict[str, tuple[Site, ...]]:
    """The sites of each module, in their order."""
    names = dict.fromkeys(site.module for site in sites)
    return {name: tuple(site for site in sites if site.module == name) for name in names}


def _with(variables: Any, replaced: Weights | None) -> Any:
    if replaced is None:
        return variables
    tree = unflatten_dict({tuple(name.split("/")): value for name, value in replaced.items()})
    return {**variables, INTERVENTIONS: tree}


def _flat(shown: Any) -> dict[str, jax.Array]:
    return {"/".join(path): value for path, value in flatten_dict(shown).items()}


def _within(path: tuple[str, ...], mechanisms: Iterable[tuple[str, ...]]) -> tuple[str, ...] | None:
    """The first mechanism at or above a path."""
    known = set(mechanisms)
    starts = (path[:length] for length in range(1, len(path) + 1))
    return next((start for start in starts if start in known), () if () in known else None)


def _name_of(module: nn.Module) -> str:
    inner = module.mechanism if isinstance(module, FromIdentity) else module
    names = (n for n in attention.names() if attention.describe(n).module is type(inner))
    return next(names, "")


def _kind(name: str, shape: tuple[int, ...], mechanism: str, channels: int) -> str:
    if shape[-1:] == (1,) or (name == "spatial" and len(shape) == 2):
        return POSITIONS
    if len(shape) == 1:
        return CHANNELS
    if mechanism and attention.describe(mechanism).slot == "conv" and len(shape) == 2:
        return BRANCHES
    return (
        CHANNELS if shape[-1] == channels or (len(shape) >= 3 and name == "weights") else POSITIONS
    )


def _natural(path: tuple[str, ...]) -> tuple[tuple[int, str], ...]:
    """`weights2` before `weights10`."""
    return tuple((len(name), name) for name in path)
