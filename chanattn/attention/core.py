"""ChannelAttention: squeeze, mix, gate and how the weights are applied."""

import dataclasses
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.attention.gate import Gate
from chanattn.attention.squeeze import Squeeze
from chanattn.errors import UsageError, did_you_mean

Fuse = Callable[[jax.Array, jax.Array], jax.Array]


def scale(x: jax.Array, w: jax.Array) -> jax.Array:
    """Y = x w."""
    return x * w


def residual(x: jax.Array, w: jax.Array) -> jax.Array:
    """Y = x (1 + w)."""
    return x * (1 + w)


def add(x: jax.Array, w: jax.Array) -> jax.Array:
    """Y = x + w."""
    return x + w


_FUSES: dict[str, Fuse] = {"scale": scale, "residual": residual, "add": add}


def get_fuse(name: str) -> Fuse:
    """The way called `name` to apply weights.

    Raises:
        UsageError: There is none of that name.
    """
    if name not in _FUSES:
        valid = list(_FUSES)
        raise UsageError(
            f"unknown fuse {name!r}; valid: {', '.join(valid)}.{did_you_mean(name, valid)}"
        )
    return _FUSES[name]


def over_space(w: jax.Array, x: jax.Array) -> jax.Array:
    """Weights (N, C) shaped and typed for a map (N, H, W, C); weights that are a map stay one."""
    shaped = w if w.ndim == x.ndim else w[:, None, None, :]
    return shaped.astype(x.dtype)


def sow_weights(module: nn.Module, weights: jax.Array, name: str = "weights") -> None:
    """Show the weights in the `attention` collection: `apply(..., mutable=["attention"])` returns them.

    Costs nothing when the collection is not mutable, and leaves no trace in `init`.
    """
    if not module.is_initializing():
        module.sow("attention", name, weights, reduce_fn=lambda _, new: new, init_fn=lambda: None)


def refuse_condition(module: nn.Module, condition: jax.Array | None) -> None:
    """Mechanisms that look at the feature map alone do not silently drop a condition.

    Raises:
        UsageError: A condition was given.
    """
    if condition is not None:
        raise UsageError(f"{type(module).__name__} takes no condition")


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


def weigh(
    module: nn.Module, gate: Gate | Callable[[jax.Array], jax.Array], z: jax.Array, train: bool
) -> jax.Array:
    """Weights of logits (..., C), inside a compact method of `module`.

    In training it takes the noise of the gate from the random stream `dropout`, lets its temperature
    fall (a variable `temperature` among the running statistics, so that evaluation and checkpoints have the
    one that training has reached), and sows its penalty in the collection `losses`, which the training
    step adds to the loss. Where logits do not decide, the gate chooses by the module's path, so that no two
    places choose alike; the noise differs from place to place because Flax derives a stream of each path.
    """
    if not isinstance(gate, Gate):
        return gate(z)
    temperature = _temperature(module, gate, train)
    key = module.make_rng("dropout") if gate.noisy and train else None
    if train and not module.is_initializing():
        penalty = gate.penalty(z, temperature)
        if penalty is not None:
            module.sow("losses", "rate", penalty, reduce_fn=jnp.add, init_fn=lambda: 0.0)
    return gate(z, key, temperature, "/".join(module.path))


def _temperature(module: nn.Module, gate: Gate, train: bool) -> jax.Array | None:
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


class ChannelAttention(nn.Module):
    """y = fuse(x, gate(mix(squeeze(x)))): the four choices that most of the family consists of.

    Attributes:
        squeeze: (N, H, W, C) -> (N, C), (N, K, C), or the map itself.
        mix: Makes the module from the descriptor to logits, e.g. `partial(mix.Bottleneck, width=4)`.
        gate: Logits -> weights; a `Gate`, or any function.
        fuse: How the weights act on x.
    """

    squeeze: Squeeze
    mix: Callable[..., nn.Module]
    gate: Gate | Callable[[jax.Array], jax.Array]
    fuse: Fuse = scale

    @nn.compact
    def __call__(
        self, x: jax.Array, condition: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        """Reweigh the channels of (N, H, W, C); the shape and the type stay."""
        refuse_condition(self, condition)
        logits = self.mix(name="mix")(self.squeeze(x), train=train)
        weights = weigh(self, self.gate, logits, train)
        sow_weights(self, weights)
        return self.fuse(x, over_space(weights, x))
