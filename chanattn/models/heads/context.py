"""What a decoder is given of a picture at every word: features, attended on its state, as one vector.

    V: (N, H, W, C) -> V' = attention(V | h) -> context = mean of V' over the positions, (N, C)

h (N, q) is the state of the decoder before the word. With two layers of attention, as in the ResNet of
SCA-CNN (Chen et al., CVPR 2017, arXiv:1611.05594), the first acts inside a bottleneck block that the head
adds to the backbone, in front of its last 1x1 convolution, and the second behind that block:

    V1 = conv3x3(conv1x1(V)), C / 4 channels
    V2 = relu(V + attention1(V1 | h) W + b),   V' = attention2(V2 | h)

(The authors attend the last block of ResNet-152 itself; a block of the head's own works on every backbone.
The batch norm behind W, frozen there, is a bias here.) Only what depends on h is computed at every word, and
of that the 1x1 convolution is a matrix product.
"""

import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn import attention
from chanattn.attention.module import sow_weights
from chanattn.errors import UsageError
from chanattn.models.heads.parts import ConvNorm
from chanattn.models.slots import Slot

#: Name of `SpatialAttention` among the mechanisms that a decoder can have.
SPATIAL = "spatial"
_NORM_EPSILON = 1e-8
_SHRINK = 4  # of a bottleneck


class SpatialAttention(nn.Module):
    """The soft attention of Show, Attend and Tell: Xu et al., ICML 2015, arXiv:1502.03044, section 4.2.

        e_i = u tanh(W_a a_i + W_h h + b),   alpha = softmax over positions of e,   y_i = P alpha_i a_i

    The factor P, the number of positions, makes the mean of y the paper's context, sum_i alpha_i a_i. The
    weights are sown without it, as `spatial` (N, H, W, 1). C k + q k + 2 k parameters.

    Attributes:
        width: k; in the authors' code it is C.
        param_dtype: Type of the parameters.
    """

    width: int = 512
    param_dtype: Any = jnp.float32

    def setup(self) -> None:
        """Make the three products."""
        own = {"param_dtype": self.param_dtype}
        self.features = nn.Dense(self.width, dtype=jnp.float32, **own)
        self.condition = nn.Dense(self.width, use_bias=False, dtype=jnp.float32, **own)
        self.score = nn.Dense(1, use_bias=False, dtype=jnp.float32, **own)

    def keys(self, x: jax.Array) -> jax.Array:
        """What does not depend on the state, W_a a_i + b: (N, H, W, C) -> (N, H, W, k) float32."""
        keys: jax.Array = self.features(x)
        return keys

    def __call__(
        self,
        x: jax.Array,
        condition: jax.Array | None = None,
        train: bool = False,
        keys: jax.Array | None = None,
    ) -> jax.Array:
        """Reweigh the positions of (N, H, W, C).

        Args:
            x: The features.
            condition: (N, q); None: the term in h is left out.
            train: Nothing depends on it.
            keys: What `keys` gave of x, if that is known.
        """
        del train
        z = self.keys(x) if keys is None else keys
        if condition is not None:
            z = z + self.condition(condition)[:, None, None]
        logits = self.score(jnp.tanh(z))
        alpha = jax.nn.softmax(logits, axis=(1, 2))
        alpha = sow_weights(self, alpha, SPATIAL)
        return x * (alpha * (x.shape[1] * x.shape[2])).astype(x.dtype)


class Seen(NamedTuple):
    """What does not change from word to word; the pictures are the first dimension of every array.

    Attributes:
        context: (N, C), where it does not depend on the state of the decoder; the rest is None then.
        features: (N, H, W, C') that the first attention acts on.
        shortcut: (N, H, W, C) that the block adds, with two layers.
        keys: Of `SpatialAttention` on `features`.
    """

    context: jax.Array | None = None
    features: Any = None
    shortcut: jax.Array | None = None
    keys: jax.Array | None = None

    def vector(self) -> jax.Array:
        """One vector a picture, (N, C) float32, to compare pictures by."""
        if self.context is not None:
            return self.context
        x = self.features if self.shortcut is None else self.shortcut
        return jnp.mean(x, axis=(1, 2), dtype=jnp.float32)

    def size(self) -> tuple[int, int]:
        """(H, W) of the features; there must be some."""
        return self.features.shape[1], self.features.shape[2]


class CoordConv(nn.Module):
    """A 1x1 convolution that is told where it is, with batch norm and ReLU.

    Two channels that say how far down and how far right a place is, from -1 to 1, join the others. What a
    picture shows somewhere can then be told from the same elsewhere, though the mean of the map is taken.
    Liu et al. An intriguing failing of convolutional neural networks and the CoordConv solution. NeurIPS
    2018. arXiv:1807.03247.

    Attributes:
        dtype: Type of the activations.
        param_dtype: Type of the parameters.
    """

    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """(N, H, W, C) -> (N, H, W, C)."""
        sides = (jnp.linspace(-1, 1, side) if side > 1 else jnp.zeros(1) for side in x.shape[1:3])
        places = jnp.stack(jnp.meshgrid(*sides, indexing="ij"), axis=-1).astype(x.dtype)
        told = jnp.concatenate([x, jnp.broadcast_to(places, (*x.shape[:3], 2))], axis=-1)
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        return ConvNorm(x.shape[-1], 1, **types)(told, train)


class Branch(nn.Module):
    """The front of a bottleneck block, conv1x1 and conv3x3 with batch norms and ReLUs.

    Attributes:
        dtype: Type of the activations.
        param_dtype: Type of the parameters.
    """

    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """(N, H, W, C) -> (N, H, W, C / 4)."""
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        width = max(x.shape[-1] // _SHRINK, 1)
        x = ConvNorm(width, 1, name="reduce", **types)(x, train)
        x = ConvNorm(width, 3, name="conv", **types)(x, train)
        return x


class Join(nn.Module):
    """The end of a bottleneck block, its last 1x1 convolution as a product and the shortcut.

    Attributes:
        dtype: Type of the activations.
        param_dtype: Type of the parameters.
    """

    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, shortcut: jax.Array) -> jax.Array:
        """(N, H, W, C / 4) and (N, H, W, C) -> (N, H, W, C)."""
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        return nn.relu(shortcut + nn.Dense(shortcut.shape[-1], name="expand", **types)(x))


class Context(nn.Module):
    """From features and the state of a decoder to a vector.

    Attributes:
        mechanism: Of the attention: `SPATIAL`, or one of the gate slot; "identity": none.
        layers: 1 or 2 layers of attention.
        conditioned: Whether attention is given the state; without it the context is the same at every word.
        unit_norm: Whether the context is divided by its L2 norm (+ 1e-8), as by the authors of SCA-CNN.
        num_classes: For mechanisms that ask.
        dtype: Type of the activations.
        param_dtype: Type of the parameters.
    """

    mechanism: Slot
    layers: int = 1
    conditioned: bool = True
    unit_norm: bool = False
    num_classes: int = 1
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    def setup(self) -> None:
        """Make the attention of each layer, and the block between two."""
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        self.attentions = [self._attention() for _ in range(self.layers)]
        if self.layers > 1:
            self.branch, self.join = Branch(**types), Join(**types)

    def _attention(self) -> nn.Module:
        if self.mechanism.name == SPATIAL:
            return SpatialAttention(**dict(self.mechanism.options), param_dtype=self.param_dtype)
        return self.mechanism.build(
            None, num_classes=self.num_classes, param_dtype=self.param_dtype
        )

    @property
    def _changes(self) -> bool:
        """Whether the context is another one at every word."""
        return self.conditioned and self.mechanism.name != "identity"

    def look(self, x: jax.Array, train: bool) -> tuple[Seen, jax.Array]:
        """All that is computed once a picture.

        Args:
            x: (N, H, W, C), a map of a backbone.
            train: Whether norms use the statistics of the batch.

        Returns:
            What `__call__` takes; and the context without attention (N, C) float32.
        """
        seen = Seen(features=x)
        if self.layers > 1:
            seen = Seen(features=self.branch(x, train), shortcut=x)
        unattended = seen.features if seen.shortcut is None else self.join(seen.features, x)
        mean = self._vector(unattended)
        if not self._changes:
            return Seen(context=self._vector(self._attend(seen, None, train))), mean
        if self.mechanism.name == SPATIAL:
            seen = seen._replace(keys=self.attentions[0].keys(seen.features))
        return seen, mean

    def __call__(self, seen: Seen, state: jax.Array, train: bool) -> jax.Array:
        """The context on a state (N, q): (N, C) float32."""
        if seen.context is not None:
            return seen.context
        return self._vector(self._attend(seen, state, train))

    def _attend(self, seen: Seen, state: jax.Array | None, train: bool) -> jax.Array:
        x: jax.Array = seen.features
        for number, attend in enumerate(self.attentions):
            if number:
                x = self.join(x, seen.shortcut)
            # What is known of the first features is not known of the second.
            known = {"keys": seen.keys} if seen.keys is not None and not number else {}
            told = {} if state is None else {"condition": state}
            x = attend(x, train=train, **told, **known)
        return x

    def _vector(self, x: jax.Array) -> jax.Array:
        mean = jnp.mean(x, axis=(1, 2), dtype=jnp.float32)
        if not self.unit_norm:
            return mean
        # The gradient of the norm at 0 is 0/0.
        square = jnp.sum(mean * mean, axis=-1, keepdims=True)
        norm = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
        return mean / (norm + _NORM_EPSILON)


@functools.cache
def check_mechanism(mechanism: Slot, *, conditioned: bool) -> None:
    """Refuses a mechanism that a decoder cannot have.

    Args:
        mechanism: As of `Context`.
        conditioned: Whether it is to be given the decoder's state.

    Raises:
        UsageError: It is of the conv slot, or unknown; an option is wrong; it takes no condition; or it asks
            for a loss of its own, which has no place in a loop over words.
    """
    name, options = mechanism.name, dict(mechanism.options)
    if name == SPATIAL:
        width = options.pop("width", 1)
        if options or not isinstance(width, int) or width < 1:
            raise UsageError(
                f"attention {SPATIAL!r} takes width, a positive number, and no other option"
            )
        return
    if attention.describe(name).slot != "gate":
        raise UsageError(f"attention {name!r} is for the conv slot of a block, not for a decoder")
    mechanism.build(None, num_classes=1, parent=None)  # refuses options that are wrong
    if not conditioned or name == "identity":
        return
    losses = attention.extra_losses(name, options)
    if losses:
        raise UsageError(
            f"attention {name!r} with these options asks for a loss of its own ({', '.join(losses)}), which"
            " it cannot have at every word: choose others, or set conditioned=False"
        )
    if not attention.describe(name).takes_condition:
        able = (other for other in attention.names() if attention.describe(other).takes_condition)
        raise UsageError(
            f"attention {name!r} cannot be given the state of a decoder, because it takes no condition;"
            f" choose {', '.join(able)} or {SPATIAL}, or set conditioned=False"
        )
