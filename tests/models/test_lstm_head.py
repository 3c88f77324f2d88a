"""The decoder of captions against the authors' equations and PyTorch's cell, and what it promises."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import outputs
import parity
import pytest
from members import random_like

from chanattn import models
from chanattn.errors import UsageError
from chanattn.models import heads
from chanattn.models.decoding import beam, greedy, repeat
from chanattn.models.heads.context import Seen
from chanattn.models.heads.lstm import LSTM, State, lstm, weights_of_words
from chanattn.models.slots import Slot
from chanattn.tasks.caption_loss import doubly_stochastic, token_loss

Arrays = Mapping[str, np.ndarray]
TOLD: dict[str, Any] = {"size": (8, 8), "drop": lambda x: x, "train": False}


def gates(matrix: np.ndarray) -> np.ndarray:
    """The authors' i, f, o, g as our i, f, g, o."""
    i, f, o, g = np.split(matrix, 4, axis=-1)
    return np.concatenate([i, f, g, o], axis=-1)


def convert(arrays: Arrays, gradient: bool = False) -> dict[str, Any]:
    """Our parameters of those of the authors, or the gradients, which two biases that add up share."""
    own = {name.removeprefix("m."): array for name, array in arrays.items()}
    bias = own["b_logit_lstm"]
    if "b_logit_ctx" in own and not gradient:
        bias = bias + own["b_logit_ctx"]

    def dense(kernel: str, bias: np.ndarray | None = None) -> dict[str, np.ndarray]:
        return {"kernel": own[kernel]} | ({} if bias is None else {"bias": bias})

    params = {
        "words": {"embedding": own["Wemb"]},
        "gates_of_word": {"kernel": gates(own["W"])},
        "gates_of_context": {"kernel": gates(own["Wc"])},
        "gates_of_state": {"kernel": gates(own["U"]), "bias": gates(own["b"])},
        "out_of_state": dense("W_logit_lstm", bias),
        "logits": dense("W_logit", own["b_logit"]),
    }
    if "W_logit_ctx" in own:
        params["out_of_context"] = dense("W_logit_ctx")
    if "W_sel" in own:
        params["select"] = dense("W_sel", own["b_sel"])
    if "W_init_h" in own:
        params |= {f"initial_{s}": dense(f"W_init_{s}", own[f"b_init_{s}"]) for s in "hc"}

    def score(end: str, *names: str) -> dict[str, Any]:
        bias, features, state, last = names
        return {
            "features": dense(features + end, own[bias + end]),
            "condition": dense(state + end),
            "score": dense(last + end),
        }

    if "Wc_att" in own:
        attention = score("_att", "b", "Wc", "Wd", "U")
    else:
        attention = {
            f"{kind}_score": score(end, "b", "Wc", "Wd", "U")
            for kind, end in (("channel", "_ch"), ("spatial", "_sp"))
        }
    return {"params": params | {"context": {"attentions_0": attention}}}


@pytest.mark.parametrize("order", ["cs", "sc"])
def test_a_step_of_sca_cnn_equals_the_reference(golden: Path, order: str) -> None:
    arrays = parity.load(golden / "tasks" / f"cap_sca_step_{order}.npz")
    widths = {"cs": (8, 12, 10, 17), "sc": (6, 10, 8, 13)}[order]
    rescale = order == "cs"
    head = LSTM(
        width=widths[1],
        embedding=widths[2],
        num_classes=widths[3],
        options=(("width", widths[0]), ("order", order), ("rescale", rescale)),
        unit_norm=order == "cs",
        ctx2out=order == "sc",
        initial_state="zero",
    )
    word = jnp.asarray(arrays["word"])

    def run(params: Any, given: Mapping[str, jax.Array]) -> Any:
        (state, logits), shown = head.apply(
            {"params": params},
            Seen(features=given["x"]),
            State(given["h"], given["c"]),
            word,
            method="step",
            mutable=["attention", "intermediates"],
            capture_intermediates=lambda module, method: method == "__call__",
        )
        context = shown["intermediates"]["context"]
        sown = shown["attention"]["context"]["attentions_0"]
        channels, positions = (24, 20) if rescale else (1, 1)
        found = {
            "y": logits,
            "y_h": state.h,
            "y_c": state.c,
            "y_channel": sown["channel"] / channels,
            "y_spatial": sown["spatial"].reshape(len(word), -1) / positions,
            "y_context": context["__call__"][0],
            "y_attended": context["attentions_0"]["__call__"][0],
        }
        return found, None

    params = convert(parity.state_dict(arrays))["params"]
    names = tuple(name for name in arrays if name == "y" or name.startswith("y_"))
    assert len(names) == 7
    (case,) = [case for case in parity.cases(arrays) if not case.suffix]
    # Weights that sum to 1 leave next to nothing of 16 x 20 features: float64 agrees to 2e-5, as far as the
    # reference is exact.
    score = "context/attentions_0/channel_score"
    cancelling = [] if rescale else [f"{score}/features/bias", f"{score}/score/kernel"]
    outputs.check_case(
        run,
        params,
        case,
        lambda d: convert(d, gradient=True),
        ("x", "h", "c"),
        names,
        cancelling,
    )


def test_a_caption_with_soft_attention_equals_the_reference(golden: Path) -> None:
    """Logits, weights, the loss with its regulariser, and all gradients.

    The reference starts with a word of zeros; here it is that of BEGIN, which has zeros in this test.
    """
    arrays = parity.load(golden / "tasks" / "cap_sat_sequence.npz")
    head = LSTM(
        num_classes=15,
        width=12,
        embedding=8,
        attention="spatial",
        options=(("width", 10),),
        selector=True,
        ctx2out=True,
    )
    params = convert(parity.state_dict(arrays))["params"]
    begin = 1
    assert begin not in arrays["words"]
    params["words"]["embedding"] = params["words"]["embedding"].copy()
    params["words"]["embedding"][begin] = 0
    tokens = jnp.pad(arrays["words"], ((0, 0), (1, 0)), constant_values=begin)

    def loss(params: Any, x: jax.Array) -> Any:
        variables = {"params": params}
        y, sown = head.apply(
            variables, {"stage4": x}, **TOLD, tokens=tokens[:, :-1], mutable=["attention"]
        )
        alpha = weights_of_words(sown["attention"])
        nll, count = token_loss(y, tokens)
        penalty, pictures = doubly_stochastic(alpha, tokens)
        shown = {
            "y_reg_paper": penalty / pictures,
            "y_nll_token_mean": nll / count,
            "y_nll_caption_mean": nll / pictures,
            "y": y,
            "y_alpha": alpha,
            "y_beta": sown["attention"]["selector"][..., 0],
        }
        total = nll / count + 0.75 * penalty / pictures / alpha.shape[-1]
        return total * arrays["g_loss"], shown | {"y_loss": total}

    with jax.default_matmul_precision("highest"):
        x = jnp.asarray(arrays["x"])
        (_, shown), (dparams, dx) = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))(
            params, x
        )
        _, state = head.apply({"params": params}, {"stage4": x}, method="initial")
    parity.assert_close(state.h, arrays["y_h0"], parity.OUTPUT, "h0")
    parity.assert_close(state.c, arrays["y_c0"], parity.OUTPUT, "c0")
    real = arrays["words"] > 0
    for name, ours in shown.items():
        of_words = name in ("y", "y_alpha", "y_beta")
        where = real if of_words else ...
        parity.assert_close(np.asarray(ours)[where], arrays[name][where], parity.OUTPUT, name)
    parity.assert_close(dx, arrays["dx"], parity.GRADIENT, "dx")
    reference = convert(parity.Case("", arrays).parameter_gradients, gradient=True)["params"]
    dparams["words"]["embedding"] = dparams["words"]["embedding"].at[begin].set(0)
    jax.tree.map(lambda a, b: parity.assert_close(a, b, parity.GRADIENT, "d"), dparams, reference)


def test_the_cell_equals_that_of_pytorch(golden: Path) -> None:
    arrays = parity.load(golden / "tasks" / "cap_lstm_cell.npz")
    state = parity.state_dict(arrays)
    own = {"ih": state["weight_ih"].T, "hh": state["weight_hh"].T}
    own["bias"] = state["bias_ih"] + state["bias_hh"]

    def loss(p: Any, x: jax.Array, h: jax.Array, c: jax.Array, g: Any) -> Any:
        now, every = State(h, c), []
        for word in jnp.moveaxis(x, 1, 0):
            now = lstm(word @ p["ih"] + now.h @ p["hh"] + p["bias"], now.c)
            every.append(now.h)
        y = jnp.stack(every, axis=1)
        return jnp.sum(y * g[0]) + jnp.sum(now.c * g[1]), (y, now.c)

    for end in ("", "_seq"):
        x, y, g = (arrays[name + end] for name in ("x", "y_h", "g_h"))
        x, y, g = (a if end else a[:, None] for a in (x, y, g))
        given = (own, x, arrays["h" + end], arrays["c" + end])
        with jax.default_matmul_precision("highest"):
            (_, found), (dp, dx, dh, dc) = jax.jit(
                jax.value_and_grad(loss, argnums=(0, 1, 2, 3), has_aux=True)
            )(*given, (g, arrays["g_c" + end]))
        parity.assert_close(found[0], y, parity.OUTPUT, "h")
        parity.assert_close(found[1], arrays["y_c" + end], parity.OUTPUT, "c")
        parity.assert_close(dx.reshape(arrays["dx" + end].shape), arrays["dx" + end], 1e-4, "dx")
        for name, d in (("dh", dh), ("dc", dc)):
            parity.assert_close(d, arrays[name + end], parity.GRADIENT, name)
        for name, theirs in (("ih", "weight_ih"), ("hh", "weight_hh"), ("bias", "bias_ih")):
            parity.assert_close(dp[name].T, arrays[f"d{end}:{theirs}"], parity.GRADIENT, name)


MAP = jax.random.normal(jax.random.key(0), (2, 4, 5, 16))
ENDS = {"stage4": MAP}
TOKENS = jnp.array([[1, 5, 6, 7], [1, 8, 2, 0]])
SMALL: dict[str, Any] = {"num_classes": 12, "width": 8, "embedding": 6}
KINDS: dict[str, dict[str, Any]] = {
    "none": {"attention": "none", "initial_state": "zero"},
    "spatial": {"attention": "spatial", "selector": True},
    "sca": {"options": (("width", 8),), "prev2out": False, "ctx2out": True},
    "two layers": {"options": (("width", 8), ("order", "sc")), "layers": 2, "unit_norm": True},
    "two spatial layers": {"attention": "spatial", "layers": 2},
    "cut off": {"options": (("width", 8),), "conditioned": False, "layers": 2},
    "no condition": {"attention": "se", "conditioned": False, "selector": True},
}


def made(**options: Any) -> tuple[LSTM, Any]:
    head = LSTM(**SMALL | options)
    shapes = jax.eval_shape(lambda: head.init(jax.random.key(0), ENDS, **TOLD))
    return head, random_like(shapes)


@pytest.mark.parametrize("kind", KINDS)
def test_steps_give_what_a_whole_caption_gives_and_weights_are_shown(kind: str) -> None:
    head, variables = made(**KINDS[kind])

    @jax.jit
    def both(variables: Any) -> Any:
        whole = head.apply(variables, ENDS, **TOLD, tokens=TOKENS)
        shown, sown = head.apply(variables, ENDS, **TOLD, tokens=TOKENS, mutable=["attention"])
        seen, state = head.apply(variables, ENDS, **TOLD)
        steps = []
        for token in TOKENS.T:
            state, logits = head.apply(variables, seen, state, token, method="step")
            steps.append(logits)
        return whole, shown, jnp.stack(steps, axis=1), sown.get("attention", {})

    whole, shown, steps, sown = both(variables)
    assert whole.shape == (2, 4, 12)
    assert whole.dtype == jnp.float32
    np.testing.assert_allclose(whole, steps, atol=1e-5)
    np.testing.assert_allclose(whole, shown, atol=1e-5)
    by_word = {"spatial": "spatial" in kind or kind in ("sca", "two layers")}
    by_word["channel"] = kind in ("sca", "two layers")
    for name, size in (("spatial", 20), ("channel", 16)):
        weights = weights_of_words(sown, name)
        assert (weights is not None) == by_word[name]
        if weights is not None:
            assert weights.shape == (2, 4, size)
            np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)
            assert np.abs(weights[:, 1:] - weights[:, :-1]).max() > 1e-4  # of another state
    assert ("selector" in sown) == KINDS[kind].get("selector", False)


@pytest.mark.parametrize("kind", ["spatial", "two layers", "cut off"])
def test_every_parameter_is_learnt_and_no_word_sees_what_follows(kind: str) -> None:
    head, variables = made(**KINDS[kind])
    stats = {k: v for k, v in variables.items() if k != "params"}

    @jax.jit
    def gradients(params: Any, cotangent: jax.Array) -> Any:
        def total(params: Any) -> Any:
            y, _ = head.apply(
                {"params": params, **stats},
                ENDS,
                **TOLD | {"train": True},
                tokens=TOKENS,
                mutable=["batch_stats"],
            )
            return jnp.sum(y * cotangent)

        return jax.grad(total)(params)

    rng = np.random.default_rng(0)
    everything = gradients(variables["params"], jnp.asarray(rng.normal(size=(2, 4, 12))))
    silent = [
        jax.tree_util.keystr(path)
        for path, d in jax.tree_util.tree_leaves_with_path(everything)
        if not np.any(np.abs(d) > 1e-8)
    ]
    assert not silent
    first = gradients(variables["params"], jnp.zeros((2, 4, 12)).at[:, :2].set(1.0))
    rows = np.abs(first["words"]["embedding"]).max(axis=1) > 0
    assert rows.tolist() == [row in (1, 5, 8) for row in range(12)]


def equations(jaxpr: Any) -> Iterator[Any]:
    """Those of a program and of the programs in it."""
    for equation in jaxpr.eqns:
        yield equation
        for parameter in equation.params.values():
            for value in parameter if isinstance(parameter, tuple | list) else [parameter]:
                inner = getattr(value, "jaxpr", value)
                if hasattr(inner, "eqns"):
                    yield from equations(inner)


def test_the_loop_has_no_convolution_and_makes_no_logits() -> None:
    head, variables = made(**KINDS["two spatial layers"])
    jaxpr = jax.make_jaxpr(lambda v: head.apply(v, ENDS, **TOLD, tokens=TOKENS))(variables)
    (loop,) = [e for e in jaxpr.jaxpr.eqns if e.primitive.name == "scan"]
    inside = list(equations(loop.params["jaxpr"].jaxpr))
    kinds = {e.primitive.name for e in inside}
    assert {"dot_general", "tanh"} < kinds
    assert "conv_general_dilated" in {e.primitive.name for e in equations(jaxpr.jaxpr)}
    assert "conv_general_dilated" not in kinds
    # Logits of all words, which are 12, are made behind it.
    products = [e.outvars[0].aval.shape for e in inside if e.primitive.name == "dot_general"]
    assert not [shape for shape in products if shape[-1] == 12]


def test_scheduled_sampling_feeds_own_words_in_training_alone() -> None:
    plain, variables = made(**KINDS["none"])
    always, _ = made(**KINDS["none"], own_words=1.0)
    never, _ = made(**KINDS["none"], own_words=1e-9)

    @jax.jit
    def run(tokens: jax.Array, seed: jax.Array) -> Any:
        def apply(head: LSTM, train: bool) -> jax.Array:
            told = {**TOLD, "train": train}
            rngs = {"dropout": jax.random.key(seed)}
            return head.apply(variables, ENDS, **told, tokens=tokens, rngs=rngs)

        return [apply(*each) for each in ((plain, True), (never, True), (always, False))], apply(
            always, True
        )

    same, own = run(TOKENS, jnp.int32(0))
    for other in same[1:]:
        np.testing.assert_allclose(other, same[0], rtol=1e-6)
    np.testing.assert_allclose(own[:, 0], same[0][:, 0], rtol=1e-5)
    other_words = TOKENS.at[:, 1:].set(9)
    # What the caption says does not matter, what is drawn does.
    np.testing.assert_array_equal(run(other_words, jnp.int32(0))[1], own)
    assert np.abs(run(TOKENS, jnp.int32(1))[1] - own).max() > 1e-3


def test_own_words_are_drawn_from_the_distribution_of_the_model() -> None:
    """A model that is sure of its words goes on as if it had been given them."""
    head, variables = made(**KINDS["none"], own_words=1.0)
    variables["params"]["logits"]["kernel"] *= 1e3
    told = {**TOLD, "train": True}
    rngs = {"dropout": jax.random.key(0)}
    own = jax.jit(lambda v: head.apply(v, ENDS, **told, tokens=TOKENS, rngs=rngs))(variables)
    said = jnp.concatenate([TOKENS[:, :1], jnp.argmax(own, axis=-1)[:, :-1]], axis=1)
    np.testing.assert_allclose(
        head.apply(variables, ENDS, **TOLD, tokens=said), own, rtol=1e-4, atol=1e-2
    )


def test_it_starts_with_orthogonal_matrices_and_an_open_forget_gate() -> None:
    head = LSTM(**SMALL, attention="none")
    params = jax.jit(lambda key: head.init(key, ENDS, **TOLD))(jax.random.key(1))["params"]
    for matrix in np.split(np.asarray(params["gates_of_state"]["kernel"]), 4, axis=1):
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(8), atol=1e-5)
    np.testing.assert_array_equal(
        params["gates_of_state"]["bias"].reshape(4, 8).sum(1), [0, 8, 0, 0]
    )


def test_dropout_acts_on_the_state_and_on_the_last_layer() -> None:
    head, variables = made(**KINDS["none"])
    seen: list[tuple[int, ...]] = []

    def drop(x: jax.Array) -> jax.Array:
        seen.append(x.shape)
        return x

    head.apply(variables, ENDS, **TOLD | {"drop": drop}, tokens=TOKENS)
    assert seen == [(2, 4, 8), (2, 4, 6)]


def test_bfloat16_keeps_states_and_logits_in_float32() -> None:
    head, variables = made(**KINDS["two layers"])
    half = head.clone(dtype=jnp.bfloat16)
    ends = {"stage4": MAP.astype(jnp.bfloat16)}

    @jax.jit
    def run(variables: Any) -> Any:
        y = half.apply(variables, ends, **TOLD, tokens=TOKENS)
        return (
            y,
            head.apply(variables, ENDS, **TOLD, tokens=TOKENS),
            half.apply(variables, ends, **TOLD),
        )

    y, exact, (seen, state) = run(variables)
    assert (y.dtype, state.h.dtype) == (jnp.float32, jnp.float32)
    assert (seen.features.dtype, seen.shortcut.dtype) == (jnp.bfloat16, jnp.bfloat16)
    assert np.abs(y - exact).max() < 0.1 * np.abs(exact).max()


def refused(message: str, **options: Any) -> None:
    with pytest.raises(UsageError, match=message):
        LSTM(**SMALL | options)


def test_what_it_cannot_have_is_refused_when_it_is_made() -> None:
    refused("'se' cannot be given the state.*choose sca or spatial, or set cond", attention="se")
    refused("'se' cannot be given the state", neck=Slot("se", "neck"))
    refused("from placement 'neck': leave", neck=Slot("sca", "neck"), attention="spatial")
    refused("'sk' is for the conv slot of a block, not for a decoder", attention="sk")
    refused("unknown attention 'scb'.*Did you mean 'sca'", attention="scb")
    refused("'sca' takes no option 'widht'.*'width'", options=(("widht", 3),))
    refused("'spatial' takes width", attention="spatial", options=(("order", "cs"),))
    refused("a loss of its own", options=(("gate", "hard_concrete"),))
    refused("1 or 2 layers of attention, not 3", layers=3)
    refused("no second layer without attention", attention="none", layers=2)
    refused("cannot look at 'stage5': the network has stage1, ", endpoint="stage5")
    refused("starts from 'mean' or 'zero', not 'one'", initial_state="one")
    refused("own_words is a probability, not 2", own_words=2)
    refused("needs a width and an embedding, not 8 and 0", embedding=0)


PICTURES = jnp.asarray(np.random.default_rng(0).normal(size=(2, 16, 16, 3)), jnp.float32)
NEVER = (0, 1, 3)
NECK = {"name": "sca", "placement": "neck", "width": 8, "order": "sc"}


def test_a_network_says_words_and_without_words_where_to_begin() -> None:
    network = models.create("resnet8", num_classes=9, head="lstm", head_width=8, attention=NECK)
    variables = random_like(jax.eval_shape(network.init, jax.random.key(0), PICTURES))
    params = variables["params"]["lstm"]
    scores = params["context"]["attentions_0"]
    assert scores["channel_score"]["condition"]["kernel"].shape == (8, 8)
    head = heads.create(
        "lstm",
        num_classes=9,
        width=8,
        neck=network.neck,
        strides=tuple(network.strides.items()),
        dtype=jnp.float32,
        param_dtype=jnp.float32,
    )

    def model(width: int) -> Any:
        (seen, state), _ = network.apply(variables, PICTURES)
        seen = repeat(seen, width)

        def step(state: State, token: jax.Array) -> Any:
            return head.apply({"params": params}, seen, state, token, method="step")

        return step, state

    def logits_of(tokens: jax.Array) -> jax.Array:
        before = jnp.concatenate([jnp.ones((2, 1), jnp.int32), tokens[:, :-1]], axis=1)
        return (
            network.apply(variables, PICTURES, tokens=before)[0]
            .at[..., jnp.array(NEVER)]
            .set(-jnp.inf)
        )

    @jax.jit
    def run() -> Any:
        how = {"limit": 5, "begin": 1, "end": 2, "never": NEVER}
        said = greedy(*model(1), **how)
        found = beam(*model(4), width=4, **how)
        return [
            (each.tokens[:, 0], each.scores[:, 0], logits_of(each.tokens[:, 0]))
            for each in (said, found)
        ]

    for tokens, scores, logits in run():
        assert logits.shape == (2, 5, 9)
        log_p = jnp.take_along_axis(jax.nn.log_softmax(logits), tokens[..., None], axis=-1)[..., 0]
        np.testing.assert_allclose(jnp.where(tokens > 0, log_p, 0).sum(1), scores, rtol=1e-4)
        assert np.all(tokens[:, 0] > 0)
        assert not np.any(np.isin(tokens, (1, 3)))
    tokens, _, logits = run()[0]
    np.testing.assert_array_equal(jnp.where(tokens > 0, logits.argmax(-1), 0), tokens)


def test_a_network_whose_attention_takes_no_state_is_refused_when_it_is_made() -> None:
    with pytest.raises(UsageError, match="'se' cannot be given the state of a decoder"):
        models.create("resnet8", head="lstm", attention={"name": "se", "placement": "neck"})
    bare = {"name": "identity", "placement": "neck"}
    network = models.create("resnet8", num_classes=9, head="lstm", attention=bare)
    shapes = jax.eval_shape(network.init, jax.random.key(0), PICTURES)["params"]["lstm"]
    assert "context" not in shapes


def test_it_learns_captions_by_heart_and_greedy_search_says_them() -> None:
    rng = np.random.default_rng(1)
    maps = {"stage4": jnp.asarray(rng.normal(size=(6, 3, 3, 16)), jnp.float32)}
    captions = np.zeros((6, 7), np.int32)
    for row, length in zip(captions, (5, 4, 3, 5, 2, 1), strict=True):
        row[: length + 2] = [1, *rng.integers(4, 12, length), 2]
    tokens = jnp.asarray(captions)
    head = LSTM(**SMALL | KINDS["sca"] | {"width": 32, "embedding": 16})
    optimizer = optax.adam(2e-2)

    @jax.jit
    def learn(key: jax.Array) -> Any:
        params = head.init(key, maps, **TOLD)["params"]

        def loss(params: Any) -> jax.Array:
            y = head.apply({"params": params}, maps, **TOLD, tokens=tokens[:, :-1])
            total, count = token_loss(y, tokens)
            return total / count

        def update(carry: Any, _: None) -> Any:
            params, state = carry
            value, grads = jax.value_and_grad(loss)(params)
            updates, state = optimizer.update(grads, state)
            return (optax.apply_updates(params, updates), state), value

        (params, _), losses = jax.lax.scan(update, (params, optimizer.init(params)), length=80)
        seen, state = head.apply({"params": params}, maps, **TOLD)

        def step(state: State, token: jax.Array) -> Any:
            return head.apply({"params": params}, seen, state, token, method="step")

        return losses, greedy(step, state, limit=6, begin=1, end=2, never=(0, 1, 3)).tokens

    losses, said = learn(jax.random.key(0))
    assert losses[0] > 2
    assert losses[-1] < 0.05
    np.testing.assert_array_equal(said[:, 0], captions[:, 1:])


def test_with_positions_a_place_matters_though_the_mean_is_taken() -> None:
    head, variables = made(attention="none", positions=True)
    without, own = made(attention="none")

    def context(head: LSTM, variables: Any, x: jax.Array) -> np.ndarray:
        def look(head: LSTM) -> jax.Array:
            seen, state = head.initial({"stage4": x})
            return head.context(seen, state.h, False)

        return np.asarray(nn.apply(look, head)(variables))

    x = ENDS["stage4"]
    for turned in (x[:, ::-1], x[:, :, ::-1]):
        np.testing.assert_allclose(
            context(without, own, x), context(without, own, turned), atol=1e-6
        )
        assert np.abs(context(head, variables, x) - context(head, variables, turned)).max() > 1e-3
    told = np.concatenate(
        [x, np.broadcast_to(np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in x.shape[1:3]),
        indexing="ij"), axis=-1), (*x.shape[:3], 2))], axis=-1,
    )  # fmt: skip
    kernel = variables["params"]["coordconv"]
    conv, norm = (kernel["ConvNorm_0"][name] for name in ("conv", "bn"))
    stats = variables["batch_stats"]["coordconv"]["ConvNorm_0"]["bn"]
    z = (told @ conv["kernel"][0, 0] - stats["mean"]) / np.sqrt(stats["var"] + 1e-5)
    expected = np.maximum(z * norm["scale"] + norm["bias"], 0).mean(axis=(1, 2))
    np.testing.assert_allclose(context(head, variables, x), expected, rtol=1e-4, atol=1e-5)


def test_weights_can_be_replaced_before_every_word() -> None:
    class Decoder(nn.Module):
        @nn.compact
        def __call__(self, x: jax.Array, tokens: jax.Array) -> jax.Array:
            head = LSTM(num_classes=9, width=8, embedding=4, strides=(("stage1", 4),), name="head")
            size = {"size": (8, 8), "drop": lambda y: y, "train": False}
            return head({"stage1": x}, tokens=tokens, **size)

    x, tokens = jax.random.normal(jax.random.key(0), (2, 3, 3, 6)), jnp.ones((2, 4), jnp.int32)
    module = Decoder()
    shapes = jax.eval_shape(module.init, jax.random.key(1), x, tokens)
    rng = np.random.default_rng(0)
    state = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype), shapes)

    @jax.jit
    def run(weights):
        return module.apply({**state, "interventions": weights}, x, tokens, mutable=["attention"])

    y, shown = jax.jit(lambda: module.apply(state, x, tokens, mutable=["attention"]))()
    own = shown["attention"]
    leaves = {leaf.shape for leaf in jax.tree.leaves(own)}
    assert leaves == {(2, 4, 6), (2, 4, 3, 3, 1)}
    np.testing.assert_allclose(run(own)[0], y, rtol=1e-4, atol=1e-5)
    # Other weights before the third word change what follows, and nothing before.
    third = jax.tree.map(lambda w: jnp.full_like(w, jnp.nan).at[:, 2].set(w[::-1, 2]), own)
    changed = np.abs(run(third)[0] - y).max(axis=(0, 2))
    assert changed[:2].max() < 1e-5
    assert changed[2:].min() > 1e-3
