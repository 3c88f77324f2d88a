"""Greedy and beam search against stored searches, and against trying every sentence."""

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import parity
import pytest

from chanattn.errors import UsageError
from chanattn.models.decoding import Sentences, beam, greedy

TOKENS = {"begin": 1, "end": 2, "never": (0, 1)}


def model(tables: Any) -> tuple[Callable[..., Any], Any]:
    """Logits of tables (N, T, before the previous, previous, V).

    The state is the picture, the time and the token before, so that it has to follow the hypotheses.
    """
    tables = jnp.asarray(tables)

    def step(state: Any, token: jax.Array) -> Any:
        picture, time, before = (state[:, i] for i in range(3))
        logits = tables[picture, time, before, token]
        return jnp.stack([picture, time + 1, token], axis=1), logits

    numbers = jnp.arange(len(tables))
    return step, jnp.stack([numbers, 0 * numbers, 0 * numbers], axis=1)


def random_model(seed: int, *shape: int, scale: float = 2.0) -> np.ndarray:
    pictures, limit, words = shape
    size = (pictures, limit, words, words, words)
    return (np.random.default_rng(seed).normal(size=size) * scale).astype(np.float32)


@pytest.fixture(scope="module")
def golden_searches(golden: Path) -> Mapping[str, np.ndarray]:
    arrays = dict(parity.load(golden / "tasks" / "cap_decode.npz"))
    arrays["tables"] = np.repeat(arrays["tables"][:, :, None], 16, axis=2)
    return arrays


def test_greedy_equals_the_reference(golden_searches: Mapping[str, np.ndarray]) -> None:
    step, state = model(golden_searches["tables"])
    found = jax.jit(lambda state: greedy(step, state, limit=7, **TOKENS))(state)
    np.testing.assert_array_equal(found.tokens[:, 0], golden_searches["y_tokens_greedy"])
    np.testing.assert_allclose(found.scores[:, 0], golden_searches["y_scores_greedy"], rtol=1e-5)


@pytest.mark.parametrize("width", [1, 3, 5])
@pytest.mark.parametrize(
    ("finished", "normalisation"),
    [("pool", "none"), ("pool", "mean"), ("pool", "gnmt"), ("shrink", "none"), ("shrink", "mean")],
)
def test_beam_equals_the_reference(
    golden_searches: Mapping[str, np.ndarray], width: int, finished: str, normalisation: str
) -> None:
    step, state = model(golden_searches["tables"])
    how = {"finished": finished, "normalisation": normalisation}
    found = jax.jit(lambda s: beam(step, s, width=width, limit=7, **how, **TOKENS))(state)
    kind = {"pool": "full", "shrink": "shrink"}[finished]
    name = f"{kind}_b{width}_{normalisation.replace('none', 'off')}"
    np.testing.assert_array_equal(found.tokens, golden_searches[f"y_tokens_{name}"])
    np.testing.assert_allclose(found.scores, golden_searches[f"y_scores_{name}"], rtol=1e-5)


def test_a_beam_of_one_that_shrinks_is_greedy() -> None:
    step, state = model(random_model(0, 20, 6, 9))
    one = beam(step, state, width=1, limit=6, finished="shrink", **TOKENS)
    other = greedy(step, state, limit=6, **TOKENS)
    assert np.any(other.tokens == 2)
    np.testing.assert_array_equal(one.tokens, other.tokens)
    np.testing.assert_allclose(one.scores, other.scores, rtol=1e-6)


def every_sentence(table: np.ndarray, normalisation: str) -> list[tuple[float, list[int]]]:
    """All finished sentences with their scores, the best first; table: (T, ..., V)."""
    limit, words = table.shape[0], table.shape[-1]
    divisor = {"none": lambda n: 1, "mean": lambda n: n, "gnmt": lambda n: ((5 + n) / 6) ** 0.6}
    logits = table.astype(np.float64)
    logits[..., list(TOKENS["never"])] = -np.inf
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    found = []
    for length in range(1, limit + 1):
        for front in itertools.product(range(3, words), repeat=length - 1):
            sentence = [*front, 2]
            before = [0, 1, *front]
            total = sum(log_p[t, before[t], before[t + 1], sentence[t]] for t in range(length))
            padded = sentence + [0] * (limit - length)
            found.append((total / divisor[normalisation](length), padded))
    return sorted(found, reverse=True)


@pytest.mark.parametrize("normalisation", ["none", "mean", "gnmt"])
def test_a_beam_as_wide_as_all_sentences_finds_the_best_of_them(normalisation: str) -> None:
    limit, words = 3, 5
    tables = random_model(1, 8, limit, words)
    width = words**limit
    step, state = model(tables)
    how = {"normalisation": normalisation, **TOKENS}
    found = jax.jit(lambda s: beam(step, s, width=width, limit=limit, **how))(state)
    for table, tokens, scores in zip(tables, found.tokens, found.scores, strict=True):
        best = every_sentence(table, normalisation)  # 1 + 2 + 4
        np.testing.assert_array_equal(tokens[: len(best)], [sentence for _, sentence in best])
        np.testing.assert_allclose(scores[: len(best)], [score for score, _ in best], rtol=1e-5)
        assert np.all(np.isneginf(scores[len(best) :]))
        assert not np.any(tokens[len(best) :])


def test_the_search_ends_as_soon_as_nothing_better_can_come() -> None:
    """The logits say END at once; the state counts how often the model was asked."""

    def step(state: jax.Array, token: jax.Array) -> Any:
        jax.debug.callback(lambda t: asked.append(int(t)), state[0, 0])
        logits = jnp.zeros((len(token), 6)).at[:, 2].set(9.0)
        return state + 1, logits

    for search, most in (
        (lambda s: beam(step, s, width=2, limit=50, **TOKENS), 2),
        (lambda s: beam(step, s, width=2, limit=50, normalisation="mean", **TOKENS), 30),
        (lambda s: beam(step, s, width=1, limit=50, finished="shrink", **TOKENS), 1),
        (lambda s: greedy(step, s, limit=50, **TOKENS), 1),
    ):
        asked: list[int] = []
        found: Sentences = jax.jit(search)(jnp.zeros((3, 1), jnp.int32))
        jax.effects_barrier()
        assert found.tokens[0, 0].tolist() == [2] + 49 * [0]
        assert 1 <= len(asked) <= most


def test_every_token_may_be_produced_where_none_is_excluded() -> None:
    step, state = model(random_model(5, 30, 4, 5))
    how = {"limit": 4, "begin": 1, "end": 2}
    found = greedy(step, state, **how).tokens
    assert {0, 1, 2, 3, 4} == set(np.unique(found))
    np.testing.assert_array_equal(
        found, beam(step, state, width=1, finished="shrink", **how).tokens
    )


def test_pictures_do_not_see_each_other() -> None:
    tables = random_model(3, 6, 5, 7, scale=3.0)
    search = {"width": 3, "limit": 5, "normalisation": "mean", **TOKENS}
    step, state = model(tables)
    together = beam(step, state, **search)
    for number in (0, 5):
        step, state = model(tables[number : number + 1])
        alone = beam(step, state, **search)
        np.testing.assert_array_equal(alone.tokens[0], together.tokens[number])


def test_arguments_without_a_meaning_are_refused() -> None:
    step, state = model(random_model(4, 1, 3, 4))
    for wrong, message in (
        ({"width": 0}, "width and a limit from 1 on, not 0 and 3"),
        ({"width": 1, "normalisation": "length"}, "none or mean or gnmt, not 'length'"),
        ({"width": 1, "finished": "never"}, "pool or shrink, not 'never'"),
    ):
        with pytest.raises(UsageError, match=message):
            beam(step, state, limit=3, **wrong, **TOKENS)
