"""What mechanisms share: their base classes, how logits become weights, and where the weights are shown."""

import dataclasses
from dataclasses import field
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.attention.checks import check
from chanattn.attention.functional import gate as gates
from chanattn.errors import UsageError

INTERVENTIONS = "interventions"
"""The collection of what is put in place of weights; see `sow_weights`."""


class Attention(nn.Module):
    """Base of the mechanisms of the gate slot, called as `module(x, train=False)`: (N, H, W, C) -> the same.

    Attributes:
        dtype: Type that the map is computed and returned in; None: that of x. Statistics over space, logits
            and softmaxes are float32 in any case.
        param_dtype: Type of the parameters.
    """

    dtype: Any = field(default=None, kw_only=True)
    param_dtype: Any = field(default=jnp.float32, kw_only=True)

    def __post_init__(self) -> None:
        check(self)
        if getattr(type(self), "gate", None) is not None:
            gates.of(self)  # refuses what does not exist
        if self.dtype is not None and not _is_floating(self.dtype):
            raise UsageError(
                f"{type(self).__name__}: dtype must be a floating-point type, not {self.dtype!r}"
            )
        super().__post_init__()

    @nn.nowrap
    def feature_map(self, x: jax.Array) -> jax.Array:
        """The map that a mechanism is called with, in the type that it computes in; whole numbers as float32.

        Raises:
            UsageError: It has not four axes, no channels, or is complex.
        """
        x = jnp.asarray(x)
        if x.ndim != 4:
            raise UsageError(
                f"{type(self).__name__} takes a feature map (N, H, W, C), not an array of shape {x.shape};"
                " one picture alone is x[None]"
            )
        if not x.shape[-1] or jnp.issubdtype(x.dtype, jnp.complexfloating):
            raise UsageError(
                f"{type(self).__name__} takes a real feature map of one channel or more, not {x.dtype} of"
                f" shape {x.shape}"
            )
        if not jnp.issubdtype(x.dtype, jnp.floating):
            x = x.astype(jnp.float32)
        return x if self.dtype is None else x.astype(self.dtype)

    @nn.nowrap
    def weigh(self, z: jax.Array, train: bool = False, gain: float = 1.0) -> jax.Array:
        """Weights of logits (..., C) by the mechanism's own gate, times `gain`; shown as `weights`.

        For compact methods of mechanisms with a field `gate`; see the function `weigh` for what a gate does.
        """
        weights = weigh(self, gates.of(self), z, train)
        weights = weights if gain == 1 else gain * weights
        return sow_weights(self, weights)


class ConvAttention(Attention):
    """Base of the mechanisms of the conv slot, which replace a 3x3 convolution, its norm and its activation.

    (N, H, W, I) -> (N, H', W', filters) with H' = ceil(H / stride).

    Attributes:
        filters: Output channels C.
        stride: Of the convolution.
        groups: Of the convolution.
    """

    filters: int
    stride: int = 1
    groups: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()  # which checks types
        for option in ("filters", "stride", "groups"):
            if getattr(self, option) < 1:
                raise UsageError(
                    f"{type(self).__name__}: {option} must be positive, not {getattr(self, option)}"
                )


def _is_floating(dtype: Any) -> bool:
    try:
        return bool(jnp.issubdtype(jnp.dtype(dtype), jnp.floating))
    except TypeError:
        return False


def sow_weights(
    module: nn.Module, weights: jax.Array, name: str = "weights", plus: float = 0
) -> jax.Array:
    """Show the weights in the `attention` collection, and give back those that are to be applied.

    `apply(..., mutable=["attention"])` returns what is shown. Applied are the weights themselves, unless
    there is a collection `interventions` with an array under the same path and name: its values take their
    place, except where they are NaN, which leaves what the mechanism has computed. It may have any shape
    that broadcasts to that of the weights:

        y, sown = module.apply(variables, x, mutable=["attention"])
        other = jax.tree.map(lambda w: w[::-1], sown["attention"])  # each picture with another's weights
        z = module.apply(variables | {"interventions": other}, x)

    Shown is what is applied. Both cost nothing where nobody asks for them, and leave no trace in `init`.

    Args:
        module: Whose weights they are, in a compact method.
        weights: As computed.
        name: Under which they are shown.
        plus: What the mechanism adds to them when it applies them, which belongs to what is shown.
    """
    if module.is_initializing():
        return weights
    if module.has_variable(INTERVENTIONS, name):
        given = jnp.asarray(module.get_variable(INTERVENTIONS, name))
        given = (given - plus if plus else given).astype(weights.dtype)
        weights = jnp.where(jnp.isnan(given), weights, given)
    if module.is_mutable_collection("attention"):
        shown = weights + plus if plus else weights
        module.sow("attention", name, shown, reduce_fn=lambda _, new: new, init_fn=lambda: None)
    return weights


def refuse_unused(module: nn.Module, because: str, *options: str) -> None:
    """Options that the others leave without effect are not silently ignored; for `__post_init__`.

    Args:
        module: A mechanism.
        because: What leaves them without effect, e.g. "cbam: spatial=false".
        *options: Names of its fields, which must have their defaults.

    Raises:
        UsageError: One of them has another value.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(module)}
    for option in options:
        if getattr(module, option) != defaults[option]:
            raise UsageError(
                f"{because} leaves nothing to say to {option}={getattr(module, option)!r}; leave it out"
            )


def weigh(module: nn.Module, gate: gates.Weighing, z: jax.Array, train: bool) -> jax.Array:
    """Weights of logits (..., C), inside a compact method of `module`.

    In training it takes the noise of the gate from the random stream `dropout`, lets its temperature
    fall (a variable `temperature` among the running statistics, so that evaluation and checkpoints have the
    one that training has reached), and sows its penalty in the collection `losses`, which the training
    step adds to the loss. Where logits do not decide, the gate chooses by the module's path, so that no two
    places choose alike; the noise differs from place to place because Flax derives a stream of each path.
    """
    if not isinstance(gate, gates.Gate):
        return gate(z)
    temperature = _temperature(module, gate, train)
    key = module.make_rng("dropout") if gate.noisy and train else None
    if train and not module.is_initializing():
        penalty = gate.penalty(z, temperature)
        if penalty is not None:
            module.sow("losses", "rate", penalty, reduce_fn=jnp.add, init_fn=lambda: 0.0)
    return gate(z, key, temperature, "/".join(module.path))


def _temperature(module: nn.Module, gate: gates.Gate, train: bool) -> jax.Array | None:
    """The gate's temperature now, if it is annealed.

    A forward pass in training multiplies it by exp(-anneal_rate); a training step of several passes keeps
    what one of them has made of it.
    """
    if gate.temperature is None or not gate.anneal_rate:
        return None
    state = module.variable("batch_stats", "temperature", lambda: jnp.float32(gate.temperature))
    now = state.value
    if train and not module.is_initializing():
        state.value = jnp.maximum(now * jnp.exp(-gate.anneal_rate), gate.min_temperature)
    return now
