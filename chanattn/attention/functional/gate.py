"""Gate: one logit a channel becomes one weight a channel.

The soft gates place weights anywhere in a range; the hard ones (`functional.select`) choose
channels, so that soft and hard selection can be compared on the very same logits. Every gate maps (..., C)
to (..., C); the docstring gives its range and its value at z = 0, which decides whether a block starts as
the identity (1), halved (0.5), or silent (0).

`get("top_k", fraction=0.25)` is a `Gate`: a function with its parameters bound, and what a mechanism needs to
know to use it (its temperature and how that falls, whether it draws noise, the loss that goes with it).
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from chanattn.attention.functional import select
from chanattn.errors import UsageError, did_you_mean


def sigmoid(z: jax.Array) -> jax.Array:
    """1 / (1 + exp(-z)), in (0, 1), 0.5 at 0."""
    return jax.nn.sigmoid(z)


def hard_sigmoid(z: jax.Array) -> jax.Array:
    """min(max(z + 3, 0), 6) / 6, in [0, 1], 0.5 at 0 (MobileNetV3, eSE; not Keras' 0.2 z + 0.5)."""
    return jax.nn.hard_sigmoid(z)


def tanh(z: jax.Array) -> jax.Array:
    """In (-1, 1), 0 at 0 (SE paper, Table 12)."""
    return jnp.tanh(z)


def relu(z: jax.Array) -> jax.Array:
    """max(z, 0), in [0, inf), 0 at 0 (SE paper, Table 12)."""
    return jax.nn.relu(z)


def one_plus_tanh(z: jax.Array) -> jax.Array:
    """1 + tanh(z), in (0, 2), 1 at 0 (GCT)."""
    return 1 + jnp.tanh(z)


def one_plus_elu(z: jax.Array) -> jax.Array:
    """1 + z for z > 0, else exp(z): in (0, inf), 1 at 0 (GCT paper, Table 6)."""
    return 1 + jax.nn.elu(z)


def linear(z: jax.Array) -> jax.Array:
    """The logit itself, 0 at 0."""
    return z


def softmax(z: jax.Array, temperature: float | jax.Array = 1.0) -> jax.Array:
    """C softmax(z / temperature) over the channels, in (0, C) with mean 1: channels compete (SCA-CNN).

    Without the factor C the features would shrink by C at every gate. A temperature that falls to 0
    leads from soft attention to `argmax`, one that rises to the ungated block.
    """
    return z.shape[-1] * jax.nn.softmax(z / temperature, axis=-1)


_FUNCTIONS: dict[str, Callable[..., jax.Array]] = {
    "sigmoid": sigmoid,
    "hard_sigmoid": hard_sigmoid,
    "tanh": tanh,
    "relu": relu,
    "one_plus_tanh": one_plus_tanh,
    "one_plus_elu": one_plus_elu,
    "linear": linear,
    "softmax": softmax,
    "top_k": select.top_k,
    "argmax": select.argmax,
    "gumbel_sigmoid": select.gumbel_sigmoid,
    "gumbel_softmax": select.gumbel_softmax,
    "hard_concrete": select.hard_concrete,
    "random_k": select.random_k,
}

_PARAMETERS = {name: inspect.signature(gate).parameters for name, gate in _FUNCTIONS.items()}

HARD = ("top_k", "argmax", "gumbel_sigmoid", "gumbel_softmax", "hard_concrete", "random_k")
"""Gates that choose channels."""

_OPEN_PROBABILITY: dict[str, Callable[..., jax.Array]] = {
    "gumbel_sigmoid": select.sigmoid_open_probability,
    "hard_concrete": select.concrete_open_probability,
}

_SCHEDULE = {"anneal_rate": 0.0, "min_temperature": 0.1}
_PENALTY = {"rate": 0.5, "rate_weight": 1.0}

OPTIONS: dict[str, type] = {
    "fraction": float,
    "temperature": float,
    "anneal_rate": float,
    "min_temperature": float,
    "relaxed": bool,
    "rate": float,
    "rate_weight": float,
}
"""What some gate takes: arguments of its function; the schedule of the temperature,

    temperature at training step t = max(min_temperature, temperature exp(-anneal_rate t))

(Jang, Gu, Poole, 2017, arXiv:1611.01144, Section 4.2; at an anneal_rate of 0 it is constant); and the penalty
rate_weight (mean P(open) - rate)^2, which asks for a share `rate` of open channels.
"""


@dataclass(frozen=True)
class Gate:
    """A gate with its parameters bound.

    Attributes:
        name: Of the gate.
        parameters: Fixed arguments of its function.
        temperature: At the first step; None if the gate has none.
        anneal_rate: r of exp(-r t).
        min_temperature: Where the fall ends.
        noisy: It draws noise in training.
        placed: Where logits do not decide, its choice differs from place to place.
        rate: Target share of open channels; None if the gate has no penalty.
        rate_weight: Weight of the penalty in the loss.
    """

    name: str
    parameters: tuple[tuple[str, Any], ...] = ()
    temperature: float | None = None
    anneal_rate: float = 0.0
    min_temperature: float = 0.1
    noisy: bool = False
    placed: bool = False
    rate: float | None = None
    rate_weight: float = 1.0

    def __call__(
        self,
        z: jax.Array,
        key: jax.Array | None = None,
        temperature: float | jax.Array | None = None,
        place: str = "",
    ) -> jax.Array:
        """Weights of logits (..., C).

        Args:
            z: Logits.
            key: For the noise of training; without it a noisy gate does what it does in evaluation.
            temperature: In place of the initial one.
            place: Where in the network the gate is, e.g. the path of its module.
        """
        extra: dict[str, Any] = {}
        if self.temperature is not None:
            extra["temperature"] = self.temperature if temperature is None else temperature
        if self.noisy:
            extra["key"] = key
        if self.placed:
            extra["place"] = place
        return _FUNCTIONS[self.name](z, **dict(self.parameters), **extra)

    @property
    def has_penalty(self) -> bool:
        """Whether there is a loss that goes with the gate."""
        return self.rate is not None and self.rate_weight > 0

    def penalty(self, z: jax.Array, temperature: float | jax.Array | None) -> jax.Array | None:
        """rate_weight (mean P(open) - rate)^2, the mean over all of (..., C); None if there is none."""
        if self.rate is None or not self.has_penalty:
            return None
        chance = _OPEN_PROBABILITY[self.name](
            z, temperature=self.temperature if temperature is None else temperature
        )
        return self.rate_weight * jnp.square(jnp.mean(chance) - self.rate)


Weighing = Gate | Callable[[jax.Array], jax.Array]
"""What makes weights of logits: a gate, or any function."""


def names() -> list[str]:
    """The gates there are."""
    return list(_FUNCTIONS)


def get(gate: str | Gate, **options: float | bool) -> Gate:
    """The gate called `gate`, with its options bound; a `Gate` is returned as it is.

    Raises:
        UsageError: The name is unknown, or the gate does not take an option, or not that value.
    """
    if isinstance(gate, Gate):
        return gate
    if gate not in _FUNCTIONS:
        raise UsageError(
            f"unknown gate {gate!r}; valid: {', '.join(names())}.{did_you_mean(gate, names())}"
        )
    takes = options_of(gate)
    for option, value in options.items():
        if option not in takes:
            listed = f": {', '.join(takes)}" if takes else " none"
            raise UsageError(f"gate {gate!r} takes no option {option!r}; it takes{listed}")
        kind = OPTIONS[option]
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (isinstance(value, bool) if kind is bool else number):
            raise UsageError(f"{gate}: {option} must be of type {kind.__name__}, not {value!r}")
    chosen = {**takes, **options}
    _check(gate, chosen)
    for option, switch in (("min_temperature", "anneal_rate"), ("rate", "rate_weight")):
        if option in options and options[option] != takes[option] and not chosen[switch]:
            raise UsageError(
                f"{gate}: {switch}=0 leaves nothing to say to {option}={options[option]}; leave it out"
            )
    parameters = _PARAMETERS[gate]
    bound = {k: v for k, v in chosen.items() if k in parameters and k != "temperature"}
    rest = {k: v for k, v in chosen.items() if k not in bound}
    return Gate(
        gate,
        tuple(sorted(bound.items())),
        noisy="key" in parameters,
        placed="place" in parameters,
        **rest,
    )


def of(module: Any) -> Weighing:
    """The gate in the field `gate` of a mechanism, with those of its options that are fields beside it.

    Raises:
        UsageError: There is no such gate, or it does not take an option, or not that value.
    """
    own = {option: getattr(module, option) for option in OPTIONS if hasattr(module, option)}
    gate = module.gate
    return gate if callable(gate) else get(gate, **own)


def is_open_at(gate: Weighing, z: float) -> bool:
    """Whether logits that are all z give weights that are all 1, in evaluation."""
    with jax.ensure_compile_time_eval():
        return bool(jnp.all(gate(jnp.full(4, z)) == 1))


def options_of(gate: str) -> Mapping[str, float | bool]:
    """Options of a gate with their defaults."""
    own = {
        name: p.default
        for name, p in _PARAMETERS[gate].items()
        if name not in ("z", "key", "place")
    }
    schedule = _SCHEDULE if "temperature" in own else {}
    penalty = _PENALTY if gate in _OPEN_PROBABILITY else {}
    return own | schedule | penalty


_RANGES: dict[str, tuple[Callable[[float], bool], str]] = {
    "fraction": (lambda v: 0 < v <= 1, "in (0, 1]"),
    "temperature": (lambda v: v > 0, "positive"),
    "anneal_rate": (lambda v: v >= 0, "0 or positive"),
    "min_temperature": (lambda v: v > 0, "positive"),
    "rate": (lambda v: 0 < v <= 1, "in (0, 1]"),
    "rate_weight": (lambda v: v >= 0, "0 or positive"),
}


def _check(gate: str, chosen: Mapping[str, Any]) -> None:
    for option, value in chosen.items():
        valid, wanted = _RANGES.get(option, (lambda v: True, ""))
        if not valid(value):
            raise UsageError(f"{gate}: {option} must be {wanted}, not {value}")
    if chosen.get("anneal_rate") and chosen["min_temperature"] > chosen["temperature"]:
        raise UsageError(
            f"{gate}: min_temperature {chosen['min_temperature']} is above the temperature "
            f"{chosen['temperature']}, which can only fall"
        )
