"""Parameters and multiply-accumulates of a network, module by module, from shapes alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict

from chanattn import attention
from chanattn.layers import kernels
from chanattn.macs import Macs, Scope, count_by_scope

Path = tuple[str, ...]

CONVENTIONS = (
    "one MAC is one multiply-add of a convolution (taps on the padding included) or of a matrix product, in"
    " the forward pass of one picture; element-wise multiplications and divisions (norms, the scaling of a"
    " map by its weights) are counted apart; additions, maxima and activation functions are not counted"
)

_NO_MACS = Macs()


@dataclass(frozen=True)
class ModuleCost:
    """What a module costs.

    Attributes:
        parameters: Trainable values.
        macs: Of the forward pass of one picture; see `CONVENTIONS`.
    """

    parameters: int = 0
    macs: Macs = _NO_MACS

    def __add__(self, other: "ModuleCost") -> "ModuleCost":
        """Both together."""
        return ModuleCost(self.parameters + other.parameters, self.macs + other.macs)


@dataclass(frozen=True)
class NetworkCost:
    """What a network costs.

    Attributes:
        modules: By path, as in the tree of parameters, in the order of calls: what belongs to the
            module itself and not to one within it. The network itself has the empty path.
        attention: Paths of the attention mechanisms. One of the conv slot includes the convolution that
            stands in place of the block's.
    """

    modules: Mapping[Path, ModuleCost]
    attention: frozenset[Path]

    @property
    def total(self) -> ModuleCost:
        """All modules together."""
        return _sum(self.modules.values())

    @property
    def attention_total(self) -> ModuleCost:
        """The mechanisms alone."""
        return self.attention_within(())

    def attention_within(self, path: Path) -> ModuleCost:
        """The mechanisms among the modules at and below `path`."""
        return _sum(
            cost
            for where, cost in self.modules.items()
            if where[: len(path)] == path and self._is_attention(where)
        )

    def grouped(self, depth: int) -> dict[Path, ModuleCost]:
        """Modules down to `depth` names, each with all that is within it."""
        groups: dict[Path, ModuleCost] = {}
        for path, cost in self.modules.items():
            groups[path[:depth]] = groups.get(path[:depth], ModuleCost()) + cost
        return groups

    def _is_attention(self, path: Path) -> bool:
        return any(path[:length] in self.attention for length in range(1, len(path) + 1))


def network_cost(
    model: nn.Module,
    image_shape: tuple[int, int, int],
    inputs: Mapping[str, jax.Array] = MappingProxyType({}),
) -> NetworkCost:
    """Counts a network without computing anything.

    Args:
        model: Pictures (N, H, W, 3) -> anything, called with `train=False`.
        image_shape: (H, W, 3) of a picture.
        inputs: What the network is given beside one picture, by name, see `Task.typical_inputs`.
    """
    image = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    # Other kernels are foreign calls or several smaller convolutions; the count is that of the definition.
    with kernels.chosen("plain"):
        variables = jax.eval_shape(model.init, jax.random.key(0), image)
        calls = _Calls()

        def forward(variables: Any, image: jax.Array) -> Any:
            with nn.intercept_methods(calls.mark):
                return model.apply(variables, image, train=False, **inputs)

        macs = count_by_scope(forward, variables, image)
    modules = dict.fromkeys(calls.paths, ModuleCost())
    for path, leaf in flatten_dict(variables.get("params", {})).items():
        modules[path[:-1]] = modules.get(path[:-1], ModuleCost()) + ModuleCost(leaf.size)
    for scope, counted in macs.items():
        owner = calls.owner(scope)
        modules[owner] = modules.get(owner, ModuleCost()) + ModuleCost(macs=counted)
    return NetworkCost(modules, frozenset(calls.attention))


class _Calls:
    """Marks every call of a module's method by a scope, which its operations keep.

    Flax's own scopes say where a module was called; a module that serves all blocks of a stage would be taken
    apart by them.
    """

    _PREFIX = "module:"

    def __init__(self) -> None:
        self.paths: dict[Path, None] = {}  # a set that keeps the order
        self.attention: set[Path] = set()

    def mark(self, method: Any, args: Any, kwargs: Any, context: Any) -> Any:
        """An interceptor, see `flax.linen.intercept_methods`."""
        try:
            path: Path = context.module.path
        except ValueError:  # unbound, a helper of the constructor: no part of the network yet
            return method(*args, **kwargs)
        self.paths.setdefault(path)
        if attention.is_mechanism(context.module):
            self.attention.add(path)
        with jax.named_scope(self._PREFIX + ".".join(path)):
            return method(*args, **kwargs)

    def owner(self, scope: Scope) -> Path:
        """The module whose code the operations of a scope are."""
        for name in reversed(scope):
            if name.startswith(self._PREFIX):
                return tuple(filter(None, name.removeprefix(self._PREFIX).split(".")))
        return ()


def _sum(costs: Iterable[ModuleCost]) -> ModuleCost:
    return sum(costs, ModuleCost())
