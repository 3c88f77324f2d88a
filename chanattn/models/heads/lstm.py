"""A decoder of captions: an LSTM that looks at the picture before every word.

    x_t = E y_{t-1}                                               the word before, (N, embedding)
    z_t = context(V | h_{t-1}) [* sigmoid(w . h_{t-1} + b)]        see `heads.context`; [selector]
    [i f g o] = x_t W + z_t W_z + h_{t-1} U + b                   gates in this order, each `width` wide
    c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g),   h_t = sigmoid(o) tanh(c_t)
    logits_t = tanh(h_t L_h + b_h [+ x_t] [+ z_t L_z]) L + b_l     [prev2out], [ctx2out]
    h_0 = tanh(m W_h + b),  c_0 = tanh(m W_c + b)                  m: the context without attention

Sources: Xu et al., Show, Attend and Tell, ICML 2015, arXiv:1502.03044, sections 3.1 and 4, and its code
(`spatial` with selector, prev2out and ctx2out); Chen et al., SCA-CNN, CVPR 2017, arXiv:1611.05594, and its
code (`sca` with unit_norm and prev2out). Both store the gates as i, f, o, g; here the order is that of
PyTorch and Flax, with one bias instead of PyTorch's two, which add up. U starts orthogonal in each gate, as
there; biases start at 0, but at 1 in the forget gate (Jozefowicz, Zaremba, Sutskever, ICML 2015).

The words so far go in and the next ones come out: tokens [BEGIN, w1, ..., wn, PAD ...] give the logits of
[w1, ..., wn, END, anything ...]. Nothing that follows a word changes its logits.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict
from flax.typing import In, Out

from chanattn.attention.module import INTERVENTIONS, sow_weights
from chanattn.errors import UsageError
from chanattn.models.heads.context import SPATIAL, Context, CoordConv, Seen, check_mechanism
from chanattn.models.heads.parts import Strides
from chanattn.models.slots import Slot

WIDTH = 256
NONE = "none"
_GATES = 4


class State(NamedTuple):
    """What the decoder remembers: h and c, (N, width) float32."""

    h: jax.Array
    c: jax.Array


def lstm(z: jax.Array, c: jax.Array) -> State:
    """One step of an LSTM.

    Args:
        z: (N, 4 H), what the gates are given: input, forget, candidate, output.
        c: (N, H), the cell before.
    """
    i, f, g, o = jnp.split(z, _GATES, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return State(jax.nn.sigmoid(o) * jnp.tanh(c), c)


def _orthogonal(key: jax.Array, shape: tuple[int, int], dtype: Any) -> jax.Array:
    """An orthogonal matrix a gate, side by side."""
    own = nn.initializers.orthogonal()
    square = (shape[0], shape[1] // _GATES)
    return jnp.concatenate([own(k, square, dtype) for k in jax.random.split(key, _GATES)], axis=1)


def _forget_at_one(key: jax.Array, shape: tuple[int], dtype: Any) -> jax.Array:
    del key
    width = shape[0] // _GATES
    return jnp.zeros(shape, dtype).at[width : 2 * width].set(1)


class LSTM(nn.Module):
    """Logits of the next word, (N, T, num_classes), of the words before it and a picture.

    The attention weights of every word are sown: see `weights_of_words`.

    Attributes:
        mechanisms: The decoder's own attention, that of SCA-CNN.
        num_classes: Words of the vocabulary, V.
        width: Hidden units of the LSTM; 0: 256.
        neck: The mechanism that takes the place of `attention`, as a network has it at placement "neck", with
            its own options.
        strides: Of the backbone's endpoints.
        attention: "none"; "spatial" (Show, Attend and Tell; option `width`); or a mechanism of the gate slot
            that takes a condition.
        options: Of the attention, as pairs.
        layers: Of the attention, 1 or 2, see `heads.context`.
        conditioned: Whether the attention is given the decoder's state. If not, every mechanism will do, and
            the picture looks the same at every word.
        endpoint: The map that is looked at; "": the last one.
        positions: Whether it is told where a place is, by `heads.context.CoordConv`.
        embedding: Width of a word.
        unit_norm: Whether the context has length 1.
        selector: Whether the context is weighed by a gate, one number a word.
        prev2out: Whether the logits see the word before directly.
        ctx2out: Whether the logits see the context directly.
        initial_state: "mean": h_0 and c_0 of the picture, as above; "zero".
        own_words: Probability, in training, that a word is fed that the model drew from its own distribution,
            and not that of the caption: scheduled sampling (Bengio et al., NeurIPS 2015, arXiv:1506.03099).
            Takes random numbers from the stream `dropout`.
        dtype: Type of the activations; states and logits are float32.
        param_dtype: Type of the parameters.
    """

    mechanisms: ClassVar[dict[str, Slot]] = {"attention": Slot("sca", "neck")}
    num_classes: int
    width: int = 0
    neck: Slot | None = None
    strides: Strides = tuple((f"stage{i}", 2 ** (i + 1)) for i in range(1, 5))
    attention: str = "sca"
    options: tuple[tuple[str, Any], ...] = ()
    layers: int = 1
    conditioned: bool = True
    endpoint: str = ""
    positions: bool = False
    embedding: int = 128
    unit_norm: bool = False
    selector: bool = False
    prev2out: bool = True
    ctx2out: bool = False
    initial_state: str = "mean"
    own_words: float = 0.0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        maps = [name for name, _ in self.strides]
        if self.width < 0 or self.embedding < 1:
            raise UsageError(
                f"the head lstm needs a width and an embedding, not {self.width} and {self.embedding}"
            )
        if self.neck is not None and (self.attention != "sca" or self.options):
            raise UsageError(
                f"the head lstm has attention {self.neck.name!r} from placement 'neck': leave attention and"
                " options of the head out"
            )
        if self.layers not in (1, 2):
            raise UsageError(f"the head lstm has 1 or 2 layers of attention, not {self.layers}")
        if self.layers == 2 and self.mechanism.name == "identity":
            raise UsageError("the head lstm has no second layer without attention: set layers=1")
        if self.endpoint and self.endpoint not in maps:
            raise UsageError(
                f"the head lstm cannot look at {self.endpoint!r}: the network has {', '.join(maps)}"
            )
        if self.initial_state not in ("mean", "zero"):
            raise UsageError(
                f"the head lstm starts from 'mean' or 'zero', not {self.initial_state!r}"
            )
        if not 0 <= self.own_words <= 1:
            raise UsageError(f"own_words is a probability, not {self.own_words}")
        check_mechanism(self.mechanism, conditioned=self.conditioned)
        super().__post_init__()

    @property
    def mechanism(self) -> Slot:
        """The attention, "identity" for none."""
        if self.neck is not None:
            return self.neck
        name = "identity" if self.attention == NONE else self.attention
        return Slot(name, "neck", options=tuple(sorted(self.options)))

    def setup(self) -> None:
        """Make all layers; those of the picture are in `context`."""
        width = self.width or WIDTH
        param_dtype = {"param_dtype": self.param_dtype}
        types = {"dtype": self.dtype, **param_dtype}
        exact = {"dtype": jnp.float32, **param_dtype}
        self.context = Context(
            self.mechanism,
            self.layers,
            self.conditioned,
            self.unit_norm,
            self.num_classes,
            **types,
        )
        if self.positions:
            self.coordconv = CoordConv(**types)
        self.words = nn.Embed(self.num_classes, self.embedding, **exact)
        if self.initial_state == "mean":
            self.initial_h = nn.Dense(width, **exact)
            self.initial_c = nn.Dense(width, **exact)
        self.gates_of_word = nn.Dense(_GATES * width, use_bias=False, **types)
        self.gates_of_context = nn.Dense(_GATES * width, use_bias=False, **types)
        self.gates_of_state = nn.Dense(
            _GATES * width, kernel_init=_orthogonal, bias_init=_forget_at_one, **types
        )
        if self.selector:
            self.select = nn.Dense(1, **exact)
        self.out_of_state = nn.Dense(self.embedding, **exact)
        if self.ctx2out:
            self.out_of_context = nn.Dense(self.embedding, use_bias=False, **exact)
        self.logits = nn.Dense(self.num_classes, **exact)

    def __call__(
        self,
        endpoints: Mapping[str, jax.Array],
        *,
        size: tuple[int, int],
        drop: Callable[[jax.Array], jax.Array],
        train: bool,
        tokens: jax.Array | None = None,
    ) -> Any:
        """Logits of the words that follow `tokens` (N, T) int32: (N, T, num_classes) float32.

        Without tokens, what `initial` gives: from there `step` and `chanattn.models.decoding` go on.

        Args:
            endpoints: Of a backbone.
            size: Of the pictures; of no use here.
            drop: The network's dropout: of h before the logits, and of what the last layer is given.
            train: As of `Head`.
            tokens: The words so far, the first of which is BEGIN.
        """
        del size
        seen, state = self.initial(endpoints, train)
        if self.is_initializing():  # all parameters, with the loop left out
            self.step(seen, state, jnp.zeros(len(state.h), jnp.int32))
        if tokens is None:
            return seen, state
        h, context, word = self._over_words(seen, state, tokens, train)
        return self._logits(h, context, word, drop)

    def following(self, seen: Seen, state: State, tokens: jax.Array) -> jax.Array:
        """As `__call__` with tokens, from what `initial` gave; without dropout."""
        return self._logits(*self._over_words(seen, state, tokens, False))

    def initial(
        self, endpoints: Mapping[str, jax.Array], train: bool = False
    ) -> tuple[Seen, State]:
        """What `step` is given of the pictures at every word, and the state before the first word."""
        x = endpoints[self.endpoint or self.strides[-1][0]]
        if self.positions:
            x = self.coordconv(x, train)
        seen, mean = self.context.look(x, train)
        if self.initial_state == "mean":
            state = State(jnp.tanh(self.initial_h(mean)), jnp.tanh(self.initial_c(mean)))
        else:
            zero = jnp.zeros((len(x), self.width or WIDTH), jnp.float32)
            state = State(zero, zero)
        return seen, state

    def step(self, seen: Seen, state: State, token: jax.Array) -> tuple[State, jax.Array]:
        """One word further: a token (N,) int32 -> the next state, and logits (N, num_classes)."""
        word = self.words(token)
        state, context = self._advance(seen, state, word, False)
        return state, self._logits(state.h, context, word)

    def _advance(
        self, seen: Seen, state: State, word: jax.Array, train: bool
    ) -> tuple[State, jax.Array]:
        """The next state and the context that it was given; word: (N, embedding)."""
        context = self.context(seen, state.h, train)
        if self.selector:
            beta = jax.nn.sigmoid(self.select(state.h))
            beta = sow_weights(self, beta, "selector")
            context = beta * context
        z = self.gates_of_word(word) + self.gates_of_context(context) + self.gates_of_state(state.h)
        return lstm(z.astype(jnp.float32), state.c), context

    def _logits(
        self,
        h: jax.Array,
        context: jax.Array,
        word: jax.Array,
        drop: Callable[[jax.Array], jax.Array] = lambda x: x,
    ) -> jax.Array:
        """Of one word (N, ...) or of all (N, T, ...)."""
        hidden = self.out_of_state(drop(h))
        if self.prev2out:
            hidden = hidden + word
        if self.ctx2out:
            hidden = hidden + self.out_of_context(context)
        logits: jax.Array = self.logits(drop(jnp.tanh(hidden)))
        return logits

    def _over_words(
        self, seen: Seen, state: State, tokens: jax.Array, train: bool
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """States, contexts and embedded words of all steps, each (N, T, ...)."""
        sampling = train and self.own_words > 0 and not self.is_initializing()

        def advance(head: LSTM, carry: Any, inputs: Any, seen: Seen) -> Any:
            state, own = carry
            word, keys = inputs
            if sampling:
                choice, draw = keys
                word = jnp.where(choice[:, None], head.words(own), word)
            state, context = head._advance(seen, state, word, train)
            if sampling:
                logits = head._logits(state.h, context, word)
                own = jax.random.categorical(draw, jax.lax.stop_gradient(logits))
            return (state, own), (state.h, context, word)

        # Of a step nothing is kept for the gradient but what it starts from: attention is computed again,
        # which takes a fraction of the time that writing and reading its N C k hidden values does.
        loop = nn.scan(
            nn.remat(advance, prevent_cse=False),
            variable_broadcast=("params", "batch_stats"),
            variable_axes={"attention": Out(1), INTERVENTIONS: In(1)},
            split_rngs={"params": False, "dropout": True},
            in_axes=((1, 0), nn.broadcast),
            out_axes=1,
        )
        keys = self._draws(tokens) if sampling else None
        steps: tuple[jax.Array, jax.Array, jax.Array]
        _, steps = loop(self, (state, tokens[:, 0]), (self.words(tokens), keys), seen)
        return steps

    def _draws(self, tokens: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Where the model's own word is fed (T, N), never at the first step; and a key a step."""
        where, what = jax.random.split(self.make_rng("dropout"))
        own = jax.random.bernoulli(where, self.own_words, tokens.T.shape).at[0].set(False)
        return own, jax.random.split(what, len(own))


def weights_of_words(sown: Mapping[str, Any], name: str = SPATIAL) -> jax.Array | None:
    """Attention weights of every word, of what `apply(..., mutable=["attention"])` returned of the decoder.

    Args:
        sown: The decoder's part of the collection.
        name: "spatial" or "channel".

    Returns:
        (N, T, P) or (N, T, C), of the last layer of attention that has such weights, divided by their sum.
        None: there are none, or they are the same at every word.
    """
    layers = flatten_dict(sown.get("context", {}))
    found = [layers[path] for path in sorted(layers) if path[-1] == name]
    by_picture = 4 if name == SPATIAL else 2
    if not found or found[-1].ndim == by_picture:
        return None
    weights = found[-1].astype(jnp.float32).reshape(*found[-1].shape[:2], -1)
    return weights / weights.sum(axis=-1, keepdims=True)
