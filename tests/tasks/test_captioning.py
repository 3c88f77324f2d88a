"""The task of captioning: what counts in its loss, what it says and scores, and that a network learns it."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import parity
import pytest
from jax.sharding import AxisType
from members import random_like

from chanattn import models, tasks
from chanattn.batch import Batch
from chanattn.config import get_config
from chanattn.data.captions import FIELD, TOKENS
from chanattn.data.vocabulary import BEGIN, END, NEVER_GENERATED, PAD, Vocabulary, decode
from chanattn.errors import UsageError
from chanattn.models import decoding
from chanattn.models.heads.lstm import weights_of_words
from chanattn.tasks.caption_loss import known
from chanattn.tasks.caption_scores import bleu, cider_d, rouge_l
from chanattn.tasks.captioning import ATTENTIONS, Captioning
from chanattn.training.optimizer import make_optimizer
from chanattn.training.schedule import make_schedule
from chanattn.training.state import create_state, make_init
from chanattn.training.step import make_train_step
from tests.conftest import ROOT

WORDS = 12  # in all, those that are never generated among them
SMALL: dict[str, Any] = {"attention_width": 8, "embedding": 16, "longest": 5}


def captions_of(pictures: int, seed: int = 0) -> np.ndarray:
    """Tokens (N, 7) of sentences of one to five words."""
    rng = np.random.default_rng(seed)
    tokens = np.full((pictures, 7), PAD, np.int32)
    for number, row in enumerate(tokens):
        length = 1 + number % 5
        row[: length + 2] = [BEGIN, *rng.integers(4, WORDS, length), END]
    return tokens


def batch_of(pictures: int, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    tokens = captions_of(pictures, seed)
    coarse = rng.normal(size=(pictures, 4, 4, 3)).astype(np.float32)
    return {
        "image": coarse.repeat(8, axis=1).repeat(8, axis=2),
        TOKENS: tokens,
        FIELD: tokens[:, None],
        "mask": np.ones(pictures, np.float32),
        "index": np.arange(pictures, dtype=np.int32),
    }


def network(task: Captioning) -> models.Network:
    return models.create(
        "resnet8", num_classes=WORDS, head="lstm", head_width=32, head_options=task.head_options()
    )


def mean_loss(task: Captioning, logits: jax.Array, batch: Batch, weights: Any = None) -> jax.Array:
    weights = task.weights(batch) if weights is None else weights
    return task.loss(logits, batch)["loss"] / weights["loss"]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_that_of_a_word_of_the_whole_batch_whatever_its_parts(smoothing: float) -> None:
    task, batch = Captioning(label_smoothing=smoothing), batch_of(6)
    batch["mask"][5] = 0
    batch[TOKENS][5] = 7  # a row of padding may hold anything
    logits = np.random.default_rng(1).normal(size=(6, 6, WORDS)).astype(np.float32)
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    total, count = 0.0, 0
    for row, tokens in zip(log_p[:5], batch[TOKENS], strict=False):
        for step, word in zip(row, tokens[1:], strict=True):
            if word != PAD:
                total -= (1 - smoothing) * step[word] + smoothing * step.mean()
                count += 1
    assert count == (2 + 3 + 4 + 5 + 6)
    real = np.asarray(known(batch[TOKENS], batch["mask"]))
    spoilt = np.where(real[..., None], logits, np.float32(50))
    whole, gradient = jax.jit(jax.value_and_grad(lambda x: mean_loss(task, x, batch)))(spoilt)
    gradient = np.asarray(gradient)
    np.testing.assert_allclose(whole, total / count, rtol=1e-5)
    assert not gradient[~real].any()
    assert np.abs(gradient[real]).min() > 0
    weights = task.weights(batch)
    assert float(weights["loss"]) == count
    parts = [jax.tree.map(lambda x, i=i: x[i::2], (spoilt, batch)) for i in range(2)]
    halves = [mean_loss(task, *part, weights) for part in parts]
    np.testing.assert_allclose(sum(halves), whole, rtol=1e-6)
    right, number = task.monitor(spoilt, batch)["word_accuracy"]
    assert int(number) == count
    expected = (log_p.argmax(-1) == batch[TOKENS][:, 1:]) & real
    assert int(right) == expected.sum()


def test_a_batch_without_captions_teaches_nothing() -> None:
    task, batch = Captioning(), batch_of(2)
    batch[TOKENS][:] = PAD
    loss, gradient = jax.jit(jax.value_and_grad(lambda x: mean_loss(task, x, batch)))(
        jnp.ones((2, 6, WORDS))
    )
    assert loss == 0
    assert not gradient.any()


def test_what_cannot_be_asked_of_the_decoder_is_refused() -> None:
    for options in ({"attention": "none"}, {"attention": "channel"}, {"conditioned": False}):
        with pytest.raises(UsageError, match="doubly_stochastic is for an attention to places"):
            Captioning(doubly_stochastic=1.0, **options)
    with pytest.raises(UsageError, match="task.word_groups are texts such as"):
        Captioning(word_groups=("red green",))
    for groups in (("colour: red red",), ("colour: red green", "form: ring green")):
        with pytest.raises(UsageError, match="task.word_groups has the word '(red|green)' twice"):
            Captioning(word_groups=groups)
    task = Captioning(word_groups=("colour: red Green",))
    with pytest.raises(UsageError, match="'Green' of 'colour' is no word of the vocabulary"):
        task.fitted(lambda: [], ("red", "green"))
    with pytest.raises(UsageError, match="conditioned=False cuts .*task.attention=none has"):
        Captioning(attention="none", conditioned=False)
    with pytest.raises(UsageError, match="length_norm=mean is for a search by beam"):
        Captioning(length_norm="mean")
    channels = models.create(
        "resnet8",
        num_classes=WORDS,
        head="lstm",
        head_options=Captioning().head_options_beside_neck(),
        attention={"name": "sca", "placement": "neck", "spatial": False},
    )
    with pytest.raises(UsageError, match="which the mechanism at placement neck is not"):
        Captioning(doubly_stochastic=1.0).extra_losses(
            {"attention": {channels.head: {}}}, batch_of(1)
        )


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_the_config_decides_the_decoder(attention: str) -> None:
    config = get_config()
    config.model.name = "resnet8"
    config.task.update({"name": "captioning", "attention": attention, "attention_width": 8})
    config.task.update({"embedding": 16, "beam": 4, "longest": 9})
    task = tasks.create(config.task)
    assert task == Captioning(
        attention=attention, attention_width=8, embedding=16, beam=4, longest=9
    )
    head: Any = tasks.network(config, WORDS).head_alone()
    assert (head.mechanism.name, head.embedding) == (
        {"none": "identity", "spatial": "spatial"}.get(attention, "sca"),
        16,
    )


class Alone:
    """A network of which the decoder alone is asked, on maps of its own."""

    head = "lstm"

    def __init__(self, task: Captioning):
        self.head_alone: Any = network(task).head_alone
        rng = np.random.default_rng(1)
        ends = {"stage3": jnp.asarray(rng.normal(size=(3, 2, 4, 64)), jnp.float32)}
        told: dict[str, Any] = {"size": (8, 8), "drop": lambda x: x, "train": False}
        head = self.head_alone()
        shapes = jax.eval_shape(lambda: head.init(jax.random.key(0), ends, **told))
        params = random_like(shapes["params"])
        # As if what is never generated were the best that could be said.
        bias = params["logits"]["bias"]
        params["logits"]["bias"] = bias.at[jnp.array(NEVER_GENERATED)].set(9.0)
        self.weights = {"params": {self.head: params}}
        self.outputs = jax.jit(lambda: head.apply({"params": params}, ends, **told))()


def test_captions_and_what_was_looked_at() -> None:
    """Greedy search and beams; no answer has a word that is none, and each has the log p that it tells."""
    greedy = Captioning(**SMALL)
    alone = Alone(greedy)
    batch = batch_of(3)
    wide = Captioning(**SMALL, beam=3)
    punished = Captioning(**SMALL, doubly_stochastic=2.0)

    @jax.jit
    def run(outputs: Any, batch: Any) -> Any:
        found = greedy.predict(alone, alone.weights, outputs, batch)  # type: ignore[arg-type]
        best = wide.predict(alone, alone.weights, outputs, batch)  # type: ignore[arg-type]
        answers = greedy.answers(alone, alone.weights, outputs, batch)  # type: ignore[arg-type]
        seen, state = outputs
        head = alone.head_alone()
        own = {kind: tree["lstm"] for kind, tree in alone.weights.items()}

        def step(state: Any, token: jax.Array) -> Any:
            return head.apply(own, seen, state, token, method="step")

        # A beam of one that keeps what has ended, as wide ones do, may prefer a shorter sentence.
        how = {"limit": 6, "begin": BEGIN, "end": END, "never": NEVER_GENERATED}
        one = decoding.beam(step, state, width=1, finished="shrink", **how)
        logits, sown = head.apply(
            own, seen, state, batch[TOKENS][:, :-1], method="following", mutable=["attention"]
        )
        extra = punished.extra_losses({"attention": {"lstm": sown["attention"]}}, batch)
        terms = greedy.loss(logits, batch)["loss"], extra["doubly_stochastic"]
        return found, best, answers, one, terms, weights_of_words(sown["attention"])

    found, best, answers, one, (loss, penalty), looked = jax.device_get(run(alone.outputs, batch))
    for words in (found["words"], best["words"]):
        assert words.shape == (3, 6)
        assert not np.isin(words[words != PAD], NEVER_GENERATED).any()
        assert (words[:, 0] != PAD).all()
    np.testing.assert_array_equal(found["words"], one.tokens[:, 0])
    np.testing.assert_array_equal(found["words"], answers["words"])
    np.testing.assert_allclose(found["log_p"].sum(1), one.scores[:, 0], rtol=1e-4)
    assert (best["log_p"].sum(1) >= found["log_p"].sum(1) - 1e-5).all()
    assert not found["log_p"][found["words"] == PAD].any()
    assert found["looked"].shape == (3, 6, 2, 4)
    np.testing.assert_allclose(found["looked"].sum(axis=(2, 3)), 1, rtol=1e-5)
    assert found["channels"].shape == found["channel_weights"].shape == (3, 6, 3)
    assert (np.diff(found["channel_weights"]) <= 0).all()
    assert (found["channel_weights"][..., 0] >= 1).all()
    np.testing.assert_allclose(answers["nll"].sum(), loss, rtol=1e-5)
    assert answers["count"].tolist() == [2, 3, 4]
    left = [
        ((1 - row[:count].sum(axis=0)) ** 2).sum()
        for row, count in zip(looked, (2, 3, 4), strict=True)
    ]
    np.testing.assert_allclose(penalty, (2 * sum(left), 3), rtol=1e-5)
    # Pictures do not see each other.
    for row in (1, 2):
        part = jax.tree.map(lambda x, row=row: np.roll(x, row, axis=0), (alone.outputs, batch))
        again = jax.device_get(run(*part))
        np.testing.assert_array_equal(again[0]["words"], np.roll(found["words"], row, axis=0))
        np.testing.assert_array_equal(again[1]["words"], np.roll(best["words"], row, axis=0))

    names = Vocabulary(tuple("abcdefgh")).names
    told = greedy.told({name: array[0] for name, array in found.items()}, names)
    assert told["caption"] == " ".join(told["words"]) == " ".join(decode(found["words"][0], names))
    assert told["log_p"] == pytest.approx(float(found["log_p"][0].sum()))
    assert greedy.rows(told) == [(told["caption"], f"{told['log_p']:.2f}")]
    assert told["looked"].shape == (6, 2, 4)


def answers_of(captions: Any, written: Any, words: tuple[str, ...]) -> dict[str, Any]:
    """As an evaluation collects them."""
    vocabulary = Vocabulary(words)
    texts = np.empty(len(written), object)
    for row, several in enumerate(written):
        texts[row] = tuple(several)
    longest = max(len(caption.split()) for caption in captions)
    return {
        "words": np.stack([vocabulary.encode(c.split(), longest).tokens[1:] for c in captions]),
        "nll": np.linspace(1, 9, len(captions), dtype=np.float32),
        "count": np.arange(1, len(captions) + 1),
        "index": np.arange(len(captions)),
        "written": texts,
    }


def test_scores_are_those_of_pycocoevalcap() -> None:
    golden = parity.load(ROOT / "tests" / "golden" / "tasks" / "cap_metrics.npz")
    captions = golden["candidates"].tolist()
    written = [[text for text in row if text] for row in golden["references"].tolist()]
    words = tuple(
        sorted(
            {
                w
                for text in (*captions, *(text for row in written for text in row))
                for w in text.split()
            }
        )
    )
    answers = answers_of(captions, written, words)
    found = Captioning().results(None, answers, Vocabulary(words).names)
    for order, value in enumerate(golden["y_bleu"], start=1):
        assert found[f"bleu{order}"] == pytest.approx(float(value), rel=1e-9)
    assert found["rouge_l"] == pytest.approx(float(golden["y_rouge_l"]), rel=1e-9)
    assert found["cider"] == pytest.approx(float(golden["y_cider_d"]), rel=1e-9)
    right = [caption in several for caption, several in zip(captions, written, strict=True)]
    assert found["exact"] == np.mean(right)
    assert found["loss"] == pytest.approx(40 / 36)
    assert found["perplexity"] == pytest.approx(np.exp(40 / 36))
    assert found["cider_exchanged"] < found["cider"]
    reported = {metric.name for metric in (*Captioning.metrics, *Captioning.details)}
    assert found.keys() == reported
    assert Captioning().results(None, None, ()) == dict.fromkeys(reported)


def test_scores_of_any_captions_are_those_of_pycocoevalcap() -> None:
    why = "pycocoevalcap is not installed"
    Bleu = pytest.importorskip("pycocoevalcap.bleu.bleu", reason=why).Bleu
    Rouge = pytest.importorskip("pycocoevalcap.rouge.rouge", reason=why).Rouge
    Cider = pytest.importorskip("pycocoevalcap.cider.cider", reason=why).Cider
    rng = np.random.default_rng(3)

    def sentence() -> str:
        return " ".join(rng.choice(list("abcdefg"), rng.integers(1, 9)))

    results = {i: [sentence()] for i in range(12)}
    references = {i: [sentence() for _ in range(rng.integers(1, 5))] for i in range(12)}
    ours = (
        [results[i][0].split() for i in range(12)],
        [[text.split() for text in references[i]] for i in range(12)],
    )
    expected, _ = Bleu(4).compute_score(references, results, verbose=0)
    assert list(bleu(*ours)) == pytest.approx(expected, rel=1e-9)
    assert rouge_l(*ours) == pytest.approx(Rouge().compute_score(references, results)[0], rel=1e-9)
    assert cider_d(*ours) == pytest.approx(Cider().compute_score(references, results)[0], rel=1e-9)


SAID = ["a red circle", "a blue cross", "a red cross", "a blue circle"]


def test_right_captions_at_other_pictures_are_worth_little_and_groups_are_told() -> None:
    words = ("a", "blue", "circle", "cross", "red")
    groups = ("colour: red blue", "form: circle cross", "size: large")
    task = Captioning(word_groups=groups)
    answers = answers_of(SAID, [[f"{text.title()}."] for text in SAID], words)
    found = task.results(None, answers, Vocabulary(words).names)
    assert (found["exact"], found["exact_exchanged"]) == (1.0, 0.0)
    assert found["cider_exchanged"] < found["cider"]
    assert found["per_class_words"] == {"colour": 1.0, "form": 1.0, "size": None}
    wrong = ["a red circle", "a blue circle", "a blue cross", "circle"]
    answers = answers_of(wrong, [[text] for text in SAID], words)
    found = task.results(None, answers, Vocabulary(words).names)
    # Of "circle" for "a blue circle" the colour is missing.
    assert found["per_class_words"] == {"colour": 0.5, "form": 0.75, "size": None}
    assert found["exact"] == 0.25


def test_exports_are_read_by_the_tools_of_coco(tmp_path: Any) -> None:
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    words = ("a", "blue", "circle", "cross", "red")
    written = [[f"{text.title()}.", "Something."] for text in SAID]
    answers = answers_of(SAID, written, words)
    rows = [
        (f"{i}.png", {name: array[i] for name, array in answers.items()}) for i in range(len(SAID))
    ]
    files = Captioning().exports(rows, Vocabulary(words).names)
    paths = {}
    for end, content in files.items():
        paths[end] = tmp_path / f"all{end}"
        paths[end].write_bytes(content)
    truth = coco.COCO(str(paths[".references.json"]))
    results = truth.loadRes(str(paths[".captions.json"]))
    assert truth.getImgIds() == results.getImgIds() == list(range(4))
    for i, text in enumerate(SAID):
        assert [each["caption"] for each in truth.imgToAnns[i]] == written[i]
        assert [each["caption"] for each in results.imgToAnns[i]] == [text]
    assert json.loads(files[".captions.json"])[2]["file_name"] == "2.png"


OPTIMIZER = {
    "name": "adamw",
    "learning_rate": 1e-2,
    "weight_decay": 0.0,
    "clip_norm": 5.0,
}


def trainer(task: Captioning, seed: int, steps: int) -> tuple[Any, Any, models.Network]:
    """A step, a state and the network of a training with the optimizer of recipes."""
    config = get_config()
    config.steps = steps
    config.optimizer.update(OPTIMIZER)
    schedule = make_schedule(config, steps, steps)
    model = network(task)
    mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:1])
    optimizer = make_optimizer(config, schedule)
    state = create_state(make_init(model, optimizer, task, (32, 32, 3), ema=False, mesh=mesh), 0)
    step = make_train_step(
        model, optimizer, schedule, task, lambda feed, *_: feed, mesh=mesh, seed=seed
    )
    return step, state, model


def test_a_small_network_learns_the_captions_of_eight_pictures() -> None:
    """With two layers, a penalty and words of its own, by which a step is a function of the seed."""
    task = Captioning(**SMALL, layers=2, doubly_stochastic=0.01, own_words=0.2)
    batch = batch_of(8)
    step, state, model = trainer(task, 0, 50)
    first = jax.device_get(state)

    def losses(step: Any, steps: int = 2) -> tuple[list[float], Any]:
        state, found = jax.tree.map(jnp.asarray, first), []
        for _ in range(steps):
            state, window = step(state, batch)
            means = jax.device_get(window).means()
            assert means["doubly_stochastic_loss"] > 0
            assert 0 < means["grad_norm"] < np.inf
            found.append(means["loss"])
        return found, state

    learnt, state = losses(step, 50)
    assert losses(step)[0] == learnt[:2]
    assert losses(step.reseeded(4))[0] != learnt[:2]
    assert learnt[-1] < 0.2 * learnt[0]

    @jax.jit
    def say(weights: Any) -> Any:
        outputs, _ = model.apply(weights, batch["image"])
        return task.predict(model, weights, outputs, batch)

    weights = {"params": state.params, "batch_stats": state.batch_stats}
    np.testing.assert_array_equal(say(weights)["words"], batch[TOKENS][:, 1:])
