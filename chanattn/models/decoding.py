"""Sentences from a model that gives logits of the next word: greedy, and by beam search.

A model is a function `step(state, token) -> (state, logits)`: a token (M,) int32 and a pytree of arrays
(M, ...) give the next state and logits (M, V), V >= 2. What is the same at every word, as the features of a
picture, it closes over; for a beam, which asks about every hypothesis at once, M is N times the width, and
`repeat` makes that many rows of it:

    seen, state = head.apply(weights, endpoints, method="initial")
    seen = repeat(seen, width)
    step = lambda state, token: head.apply(weights, seen, state, token, method="step")
    sentences = beam(step, state, width=width, limit=20, begin=1, end=2, never=(0, 1, 3))

Everything has a fixed size, so that `jax.jit` takes it. Scores are sums of log p, END included, over
`normaliser(length)`; lengths count END, but not BEGIN. Tokens behind END are 0.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from chanattn.errors import UsageError

State = Any
Step = Callable[[State, jax.Array], tuple[State, jax.Array]]
#: How scores are divided: not at all, by the length, or by ((5 + length) / 6)^0.6.
NORMALISATIONS = ("none", "mean", "gnmt")
#: What becomes of a hypothesis that has ended, see `beam`.
FINISHED = ("pool", "shrink")


class Sentences(NamedTuple):
    """Hypotheses, the best first.

    Attributes:
        tokens: (N, K, limit) int32, up to END; a sentence that reached the limit has none. Missing hypotheses
            are 0 throughout.
        scores: (N, K) float32; -inf for missing ones.
    """

    tokens: jax.Array
    scores: jax.Array


def normaliser(length: jax.Array | int, normalisation: str) -> jax.Array:
    """What the sum of log p is divided by.

    Args:
        length: Generated tokens, END included.
        normalisation: One of `NORMALISATIONS`; "gnmt" is that of Wu et al., arXiv:1609.08144, equation 14,
            with alpha 0.6.
    """
    count = jnp.asarray(length, jnp.float32)
    if normalisation == "mean":
        return count
    return ((5 + count) / 6) ** 0.6 if normalisation == "gnmt" else jnp.ones_like(count)


def repeat(tree: Any, width: int) -> Any:
    """Every row of every array `width` times: (N, ...) -> (N width, ...), as `beam` asks for them."""
    return jax.tree.map(lambda x: jnp.repeat(x, width, axis=0), tree)


def _log_p(logits: jax.Array, never: tuple[int, ...]) -> jax.Array:
    """Of the tokens that can be produced; the others get -inf, and no share."""
    logits = logits.astype(jnp.float32)
    return jax.nn.log_softmax(logits.at[..., jnp.asarray(never, jnp.int32)].set(-jnp.inf))


def _count(state: State) -> int:
    return len(jax.tree.leaves(state)[0])


def greedy(
    step: Step, state: State, *, limit: int, begin: int, end: int, never: tuple[int, ...] = ()
) -> Sentences:
    """The most likely word again and again, until END or the limit; of equal ones the lowest number.

    Args:
        step: The model, see above.
        state: Before the first word, of arrays (N, ...).
        limit: The most tokens, END included.
        begin: What the model is given before the first word.
        end: The token that ends a sentence.
        never: Tokens that are not produced.

    Returns:
        One hypothesis each, K = 1; its score is not normalised.
    """
    pictures = _count(state)

    def on(carry: Any) -> jax.Array:
        t, _, _, _, done, _ = carry
        return (t < limit) & ~done.all()

    def go(carry: Any) -> Any:
        t, state, last, tokens, done, score = carry
        state, logits = step(state, last)
        log_p = _log_p(logits, never)
        token = jnp.where(done, 0, jnp.argmax(log_p, axis=-1).astype(jnp.int32))
        gained = jnp.take_along_axis(log_p, token[:, None], axis=-1)[:, 0]
        score = jnp.where(done, score, score + gained)
        return t + 1, state, token, tokens.at[:, t].set(token), done | (token == end), score

    start = (
        0,
        state,
        jnp.full(pictures, begin, jnp.int32),
        jnp.zeros((pictures, limit), jnp.int32),
        jnp.zeros(pictures, bool),
        jnp.zeros(pictures),
    )
    _, _, _, tokens, _, score = jax.lax.while_loop(on, go, start)
    return Sentences(tokens[:, None], score[:, None])


def _rows(x: jax.Array, chosen: jax.Array) -> jax.Array:
    """x[n, chosen[n]]: (N, M, ...) and (N, K) -> (N, K, ...)."""
    return jax.vmap(lambda row, numbers: row[numbers])(x, chosen)


def _best(scores: jax.Array, tokens: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """The `count` best of (N, M) hypotheses with their tokens (N, M, T), the best first."""
    scores, chosen = jax.lax.top_k(scores, count)
    return scores, _rows(tokens, chosen)


class _Beam(NamedTuple):
    """From word to word: open hypotheses with their sums of log p, finished ones with their scores."""

    t: jax.Array
    state: State
    tokens: jax.Array
    sums: jax.Array
    finished: jax.Array
    scores: jax.Array


def beam(
    step: Step,
    state: State,
    *,
    width: int,
    limit: int,
    begin: int,
    end: int,
    never: tuple[int, ...] = (),
    normalisation: str = "none",
    finished: str = "pool",
) -> Sentences:
    """The best sentences that are found by following the `width` best beginnings.

    Two definitions are in use. `finished="pool"`, of the best 2 K continuations those that end go into a pool
    of the K best by normalised score, and the K best others stay open; open ones are returned where none has
    ended within the limit. The search ends as soon as no open hypothesis can enter a full pool: its sum only
    falls, and at best it is divided by the normaliser of the limit. `finished="shrink"`, that of the authors
    of Show, Attend and Tell and of SCA-CNN: each hypothesis that ends makes the beam one narrower, and those
    that are open at the limit compete with their own scores. K = 1 is `greedy` then (with a pool it is not:
    the second best continuation of a step may end, and its sentence be better than the one that goes on).

    Args:
        step: The model; it is asked about N * width rows.
        state: Before the first word, of arrays (N, ...).
        width: K.
        limit: The most tokens, END included.
        begin: What the model is given before the first word.
        end: The token that ends a sentence.
        never: Tokens that are not produced.
        normalisation: One of `NORMALISATIONS`.
        finished: One of `FINISHED`.

    Raises:
        UsageError: An argument has no meaning.
    """
    for value, valid in ((normalisation, NORMALISATIONS), (finished, FINISHED)):
        if value not in valid:
            raise UsageError(f"beam search has {' or '.join(valid)}, not {value!r}")
    if width < 1 or limit < 1:
        raise UsageError(
            f"beam search needs a width and a limit from 1 on, not {width} and {limit}"
        )
    pictures, shrinks = _count(state), finished == "shrink"
    longest = normaliser(limit, normalisation)

    def on(now: _Beam) -> jax.Array:
        best = now.sums.max(axis=1) / longest
        worst = now.scores.min(axis=1)
        hopeless = now.sums.max(axis=1) == -jnp.inf if shrinks else best <= worst
        return (now.t < limit) & ~hopeless.all()

    def go(now: _Beam) -> _Beam:
        last = jnp.where(now.t > 0, now.tokens[:, :, now.t - 1], begin)
        state, logits = step(now.state, last.reshape(-1))
        log_p = _log_p(logits, never).reshape(pictures, width, -1)
        words = log_p.shape[-1]
        every = (now.sums[:, :, None] + log_p).reshape(pictures, -1)
        # At least K of the best 2 K do not end, for each hypothesis ends in one way.
        sums, chosen = jax.lax.top_k(every, width if shrinks else 2 * width)
        if shrinks:
            left = width - (now.scores > -jnp.inf).sum(axis=1, keepdims=True)
            sums = jnp.where(jnp.arange(sums.shape[1]) < left, sums, -jnp.inf)
        parent, token = chosen // words, (chosen % words).astype(jnp.int32)
        tokens = _rows(now.tokens, parent).at[:, :, now.t].set(token)
        ends = token == end
        scores = jnp.where(ends, sums, -jnp.inf) / normaliser(now.t + 1, normalisation)
        scores, done = _best(
            jnp.concatenate([now.scores, scores], axis=1),
            jnp.concatenate([now.finished, tokens], axis=1),
            width,
        )
        sums, kept = jax.lax.top_k(jnp.where(ends, -jnp.inf, sums), width)
        parent = _rows(parent, kept)

        def follow(x: jax.Array) -> jax.Array:
            own = _rows(x.reshape(pictures, width, *x.shape[1:]), parent)
            return own.reshape(x.shape)

        return _Beam(
            now.t + 1, jax.tree.map(follow, state), _rows(tokens, kept), sums, done, scores
        )

    nothing = jnp.full((pictures, width), -jnp.inf)
    empty = jnp.zeros((pictures, width, limit), jnp.int32)
    start = _Beam(
        jnp.int32(0),
        repeat(state, width),
        empty,
        nothing.at[:, 0].set(0.0),
        empty,
        nothing,
    )
    last = jax.lax.while_loop(on, go, start)
    open_scores = last.sums / longest
    if not shrinks:
        ended = (last.scores > -jnp.inf).any(axis=1, keepdims=True)
        open_scores = jnp.where(ended, -jnp.inf, open_scores)
    scores, tokens = _best(
        jnp.concatenate([last.scores, open_scores], axis=1),
        jnp.concatenate([last.finished, last.tokens], axis=1),
        width,
    )
    return Sentences(jnp.where(jnp.isneginf(scores)[..., None], 0, tokens), scores)
