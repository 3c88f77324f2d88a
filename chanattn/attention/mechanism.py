"""What is known of a mechanism: its place, options, axes, citation; and what can be measured of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.attention.decay import decays
from chanattn.macs import count

_CHANNELS, _SIZE = 256, 14

PLACEMENTS: dict[str, str] = {
    "post": "on the residual branch, after its last norm, before the sum",
    "pre": "on the block's input, residual branch only",
    "after_sum": "after the sum and its activation",
    "identity": "on the shortcut",
    "mid": "after the first 3x3 convolution, its norm and activation",
    "pre_norm": "between the second convolution and its norm",
    "pre_conv": "before every convolution of the branch",
    "before_norms": "before every norm of the branch",
    "after_norms": "after every norm of the branch, before its activation",
    "stage_end": "after the last block of a stage",
    "head": "on the last feature map, before pooling",
    "neck": "in the head, where it brings maps of several stages together",
    "conv": "in place of the first 3x3 convolution, its norm and activation",
}
"""Where a mechanism can sit. Mechanisms of the `conv` slot have the placement `conv` and no other.

One of the gate slot can sit beside one of the conv slot. A place between the convolution, the norm and the
activation that the latter stands for is then behind it.
"""


@dataclass(frozen=True)
class Option:
    """One option of a mechanism: the type of its values and its default (None: decided by the mechanism)."""

    kind: type
    default: Any


@dataclass(frozen=True)
class Mechanism:
    """What is known of a mechanism without building it.

    Attributes:
        name: As registered.
        module: The class of Flax modules.
        slot: "gate" (shape-preserving, x -> x) or "conv" (replaces a 3x3 convolution with its norm and
            activation).
        placement: Default place in a block, a key of `PLACEMENTS`.
        options: What `create` accepts for it.
        context: What of that which a network tells its mechanisms this one has a field for.
        axes: Squeeze, mix and gate, in words.
        parameters: Closed formula of the number of parameters at default options.
        order_matters: Whether the result depends on the order of the channels. If not, a permutation of the
            channels of x, and of every parameter axis of that length, permutes the result.
        identity_at_init: Whether it promises to be the identity at initialisation, at its default options.
        identity_if: Whether one of its modules is the identity at initialisation, whatever the options.
        takes_condition: Whether its weights can depend on more than the map: it is then called as
            `module(x, condition, train)`, with a condition (N, q) or None.
        shared: Whether one module, with a state, serves all blocks of a stage in turn: it then has a method
            `step(x, state, train) -> (y, state)`.
        year: Of the citation.
        citation: Authors, venue, arXiv number.
        summary: First line of its documentation.
    """

    name: str
    module: type[nn.Module]
    slot: str
    placement: str
    options: Mapping[str, Option]
    context: frozenset[str]
    axes: tuple[str, str, str]
    parameters: str
    order_matters: bool
    identity_at_init: bool
    identity_if: Callable[[nn.Module], bool]
    takes_condition: bool
    shared: bool
    year: int
    citation: str
    summary: str

    def __repr__(self) -> str:
        """The facts, a line each."""
        options = ", ".join(f"{name}={spec.default!r}" for name, spec in self.options.items())
        axes = zip(("squeeze", "mix", "gate"), self.axes, strict=True)
        told = "; ".join(f"{step} {what}" for step, what in axes if what)
        return "\n".join(
            (
                f"{self.name}: {self.summary}",
                f"  slot {self.slot}, placement {self.placement}",
                *([f"  {told}"] if told else []),
                *([f"  parameters {self.parameters}"] if self.parameters else []),
                f"  options {options or 'none'}",
                f"  weight decay on {', '.join(self.decayed()) or 'no parameter'}",
                f"  {self.citation}",
            )
        )

    @property
    def identity_start(self) -> str:
        """How it starts as the identity if asked to: "by itself", "by a weight" (`start`), or "no"."""
        if self.slot == "conv":
            return "no"
        return "by itself" if self.identity_at_init else "by a weight"

    def decayed(self) -> list[str]:
        """Paths of the parameters on which weight decay acts, at default options; see `decays`."""
        _, _, variables = self._shapes(_CHANNELS, _SIZE)
        found = jax.tree.leaves_with_path(variables.get("params", {}))
        paths = [([entry.key for entry in path], leaf) for path, leaf in found]
        return ["/".join(path) for path, leaf in paths if decays(path, leaf)]

    def _shapes(self, channels: int, size: int) -> tuple[nn.Module, jax.ShapeDtypeStruct, Any]:
        """The module at default options, the shape of its input, and those of its variables."""
        context: dict[str, Any] = {"filters": channels} if self.slot == "conv" else {}
        module = self.module(**context)
        shape = jax.ShapeDtypeStruct((1, size, size, channels), jnp.float32)
        return module, shape, jax.eval_shape(module.init, jax.random.key(0), shape)

    def measure(self, channels: int = _CHANNELS, size: int = _SIZE) -> "Measurement":
        """Parameters, multiplications and the gate at initialisation, at default options.

        Args:
            channels: C; in the conv slot, of the input and of the output.
            size: Height and width of the map.
        """
        module, shape, variables = self._shapes(channels, size)
        parameters = sum(leaf.size for leaf in jax.tree.leaves(variables.get("params", {})))
        macs = count(module.apply, variables, shape)
        gate = None if self.slot == "conv" else _gate_at_init(module, (4, size, size, channels))
        return Measurement(parameters, macs.products, gate)


@dataclass(frozen=True)
class Measurement:
    """What a mechanism costs, and how it starts.

    Attributes:
        parameters: Trainable parameters.
        macs: Multiplications for one picture: of convolutions, matrix products, and element by element.
        gate: The multiplier m at initialisation, in the sense of least squares: y = m x on a random map; None
            in the conv slot.
    """

    parameters: int
    macs: int
    gate: float | None


def _gate_at_init(module: nn.Module, shape: tuple[int, ...]) -> float:
    @jax.jit
    def multiplier(key: jax.Array) -> jax.Array:
        x = jax.random.normal(key, shape) + 0.5
        y, _ = module.init_with_output(key, x)
        return jnp.vdot(x, y) / jnp.vdot(x, x)

    return float(multiplier(jax.random.key(0)))
