"""Captioning: a sentence about a picture; by a decoder whose attention sees what it has said (SCA-CNN)."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from chanattn.batch import Batch, Pair
from chanattn.data.captions import FIELD, TOKENS, sentences
from chanattn.data.fields import Placement
from chanattn.data.vocabulary import BEGIN, END, NEVER_GENERATED, PAD, decode
from chanattn.errors import UsageError
from chanattn.models import decoding
from chanattn.models.heads.lstm import NONE, weights_of_words
from chanattn.runs.metric import SHARE, Metric
from chanattn.tasks import auxiliary, caption_loss, caption_results
from chanattn.tasks.caption_baselines import baselines
from chanattn.tasks.task import Answers, Task

#: By `task.attention`: the decoder's own attention, and its options. All take `width` but the first.
ATTENTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "none": (NONE, {}),
    "spatial": ("spatial", {}),
    "channel": ("sca", {"spatial": False}),
    "cs": ("sca", {"order": "cs"}),
    "sc": ("sca", {"order": "sc"}),
}
DOUBLY = "doubly_stochastic"
_STRONGEST = 3  # channels that are told of a word


@dataclasses.dataclass(frozen=True)
class Captioning(Task):
    """The task `captioning`.

    In training, the outputs are logits (B, T, V) of the next word of `tokens` (B, T + 1), one caption of each
    picture. Else they are what the decoder begins with (`chanattn.models.heads.lstm`), and captions are
    generated from it; all scores but the loss are those of generated captions.

    Attributes:
        attention: A name of `ATTENTIONS`, where the network has no attention at placement neck.
        attention_width: Hidden units of it.
        layers: Of it, 1 or 2.
        conditioned: Whether it is given the state of the decoder.
        endpoint: The map that is looked at; "": the last one.
        positions: Whether it is told where a place is.
        embedding: Width of a word.
        unit_norm: Whether what is seen has length 1.
        selector: Whether it is weighed by a gate at every word.
        prev2out: Whether the output sees the word before directly.
        ctx2out: Whether the output sees the picture directly.
        initial_state: Of the decoder: "mean" or "zero".
        own_words: How often training feeds the word that the decoder drew itself (scheduled sampling).
        doubly_stochastic: Weight of the penalty of that name.
        label_smoothing: Share of the target that is spread evenly over all words.
        beam: Width of the search for a caption; 1: greedy.
        length_norm: One of `chanattn.models.decoding.NORMALISATIONS`.
        longest: Most words of a generated caption.
        word_groups: Texts "NAME: WORD WORD ..."; the accuracy of each group is told.
    """

    attention: str = "cs"
    attention_width: int = 512
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
    doubly_stochastic: float = 0.0
    label_smoothing: float = 0.0
    beam: int = 1
    length_norm: str = "none"
    longest: int = 20
    word_groups: tuple[str, ...] = ()
    fields: ClassVar[tuple[str, ...]] = (FIELD,)
    heads: ClassVar[tuple[str, ...]] = ("lstm",)
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("cider", "CIDEr-D", "", higher_is_better=True),
        Metric("bleu4", "BLEU-4", SHARE, higher_is_better=True),
        Metric("exact", "exact captions", SHARE, higher_is_better=True),
        Metric("loss", "loss of a word", "nats", higher_is_better=False),
    )
    details: ClassVar[tuple[Metric, ...]] = (
        *(Metric(f"bleu{n}", f"BLEU-{n}", SHARE, higher_is_better=True) for n in (1, 2, 3)),
        Metric("rouge_l", "ROUGE-L", SHARE, higher_is_better=True),
        Metric("perplexity", "perplexity", "", higher_is_better=False),
        Metric("cider_exchanged", "CIDEr-D, pictures exchanged", "", higher_is_better=True),
        Metric("exact_exchanged", "exact, pictures exchanged", SHARE, higher_is_better=True),
    )
    monitored: ClassVar[tuple[str, ...]] = ("word_accuracy",)
    measured_from_answers: ClassVar[bool] = True
    answered_by_network: ClassVar[bool] = True
    scored_as_written: ClassVar[bool] = True
    table: ClassVar[tuple[str, ...]] = ("caption", "log p")
    samples: ClassVar[int] = 8
    sample_side: ClassVar[int] = 0  # there are words in it
    most_told: ClassVar[int | None] = 1

    def __post_init__(self) -> None:
        caption_results.groups(self.word_groups)
        if self.attention == "none" and not self.conditioned:
            raise UsageError(
                "task.conditioned=False cuts the decoder's state off from attention, of which"
                " task.attention=none has none: leave it True"
            )
        if self.beam == 1 and self.length_norm != "none":
            raise UsageError(
                f"task.length_norm={self.length_norm} is for a search by beam, and task.beam=1 is none: raise"
                " that, or set length_norm to 'none'"
            )
        if self.doubly_stochastic and not (self.conditioned and self.attention in _LOOKING):
            raise UsageError(
                "task.doubly_stochastic is for an attention to places that the decoder conditions: set"
                f" task.attention to {' or '.join(_LOOKING)}, or the penalty to 0"
            )

    @classmethod
    def from_config(cls, config: ConfigDict) -> Self:
        """See `Task.from_config`."""
        return cls(**{field.name: config[field.name] for field in dataclasses.fields(cls)})

    def fitted(
        self, annotations: Callable[[], Iterable[Mapping[str, Any]]], class_names: Sequence[str]
    ) -> Self:
        """See `Task.fitted`.

        Raises:
            UsageError: A group has a word that is not in the vocabulary.
        """
        del annotations
        for name, words in caption_results.groups(self.word_groups).items():
            if unknown := sorted(words - set(class_names)):
                raise UsageError(
                    f"task.word_groups: {unknown[0]!r} of {name!r} is no word of the vocabulary: spell it as"
                    " captions do, in lower case, or take it out"
                )
        return self

    def head_options(self) -> dict[str, Any]:
        """The decoder's."""
        name, options = ATTENTIONS[self.attention]
        if name != NONE:
            options = options | {"width": self.attention_width}
        return {
            "attention": name,
            "options": tuple(sorted(options.items())),
            **{name: getattr(self, name) for name in _OF_HEAD},
        }

    def head_options_beside_neck(self) -> dict[str, Any]:
        """The decoder's, without its own attention."""
        if self.attention != type(self).attention:
            raise UsageError(
                f"config.task.attention={self.attention} and config.model.attention.placement=neck both"
                " choose the attention of the decoder: leave one of them out"
            )
        return {
            name: value
            for name, value in self.head_options().items()
            if name not in ("attention", "options")
        }

    def inputs(self, batch: Batch) -> dict[str, jax.Array]:
        """`tokens`, all but the last, of a batch of training."""
        return {TOKENS: batch[TOKENS][:, :-1]} if TOKENS in batch else {}

    def typical_inputs(self, examples: int) -> dict[str, jax.Array]:
        """`tokens` of captions of `longest` words, behind each of which the decoder says the next."""
        return {TOKENS: jnp.zeros((examples, self.longest + 1), jnp.int32)}

    def weights(self, batch: Batch) -> dict[str, jax.Array]:
        """The words of the whole batch, at least 1."""
        known = caption_loss.known(batch[TOKENS], batch["mask"])
        return {"loss": jnp.maximum(known.sum(dtype=jnp.float32), 1.0)}

    def loss(self, outputs: jax.Array, batch: Batch) -> dict[str, jax.Array]:
        """Cross-entropy, added up over the words."""
        total, _ = caption_loss.token_loss(
            outputs, batch[TOKENS], batch["mask"], self.label_smoothing
        )
        return {"loss": total}

    def monitor(self, outputs: jax.Array, batch: Batch) -> dict[str, Pair]:
        """How many words, told the true ones before them, are predicted."""
        return {"word_accuracy": caption_loss.token_accuracy(outputs, batch[TOKENS], batch["mask"])}

    def sown(self) -> tuple[str, ...]:
        """Attention weights too, where they are punished."""
        return (*super().sown(), *(("attention",) if self.doubly_stochastic else ()))

    def extra_names(self, model: Any) -> tuple[str, ...]:
        """See `extra_losses`."""
        return (*super().extra_names(model), *((DOUBLY,) if self.doubly_stochastic else ()))

    def extra_losses(self, sown: Mapping[str, Any], batch: Batch) -> dict[str, Pair]:
        """The penalty of Show, Attend and Tell beside those of mechanisms."""
        found = auxiliary.collect(sown, batch, self.presence_loss)
        if self.doubly_stochastic:
            alpha = weights_of_words(sown["attention"][self.heads[0]])
            if alpha is None:  # see `__post_init__` for the decoder's own
                raise UsageError(
                    "task.doubly_stochastic is for attention to places, which the mechanism at placement neck"
                    " is not: set it to 0"
                )
            total, _ = caption_loss.doubly_stochastic(alpha, batch[TOKENS], batch["mask"])
            found[DOUBLY] = self.doubly_stochastic * total, batch["mask"].sum()
        return found

    def measure(self, outputs: Any, batch: Batch) -> dict[str, Pair]:
        """Nothing: all comes from answers."""
        del outputs, batch
        return {}

    def answers(
        self, model: nn.Module, weights: Mapping[str, Any], outputs: Any, batch: Batch
    ) -> dict[str, jax.Array]:
        """A caption of each picture; the loss of the first one that it has; and its `features` (B, C).

        `words` (B, longest + 1) as of `predict`; `nll` and `count` (B,), the loss in all and of how many
        words.
        """
        seen, state = outputs
        tokens = batch[FIELD][:, 0]
        head, own = _head(model, weights)
        logits = head.apply(own, seen, state, tokens[:, :-1], method="following")
        known = caption_loss.known(tokens, batch["mask"])
        nll = jnp.where(known, caption_loss.cross_entropy(logits, tokens), 0.0)
        return {
            "words": self._generate(head, own, outputs),
            "nll": nll.sum(axis=1),
            "count": known.sum(axis=1),
            "features": seen.vector(),
            "index": batch["index"],
        }

    def predict(
        self, model: nn.Module, weights: Mapping[str, Any], outputs: Any, batch: Batch
    ) -> dict[str, jax.Array]:
        """A caption of each picture, and what the decoder looked at before each word, T = longest + 1.

        `words` (B, T) int32, up to END, 0 behind; `log_p` (B, T) of each. Where attention to places follows
        the decoder, `looked` (B, T, H, W), which sum to 1; where that to channels does, the strongest ones:
        `channels` (B, T, 3) int32 and their weights `channel_weights`, of which the mean over all is 1.
        """
        del batch
        seen, state = outputs
        head, own = _head(model, weights)
        words = self._generate(head, own, outputs)
        begin = jnp.full_like(words[:, :1], BEGIN)
        tokens = jnp.concatenate([begin, words], axis=1)
        logits, sown = head.apply(
            own, seen, state, tokens[:, :-1], method="following", mutable=["attention"]
        )
        log_p = -caption_loss.cross_entropy(logits.at[..., NEVER_GENERATED].set(-jnp.inf), tokens)
        found = {"words": words, "log_p": jnp.where(words != PAD, log_p, 0.0)}
        shown = sown.get("attention", {})
        if (places := weights_of_words(shown)) is not None:
            height, width = seen.size()
            found["looked"] = places.reshape(*places.shape[:2], height, width)
        if (channels := weights_of_words(shown, "channel")) is not None:
            most = min(_STRONGEST, channels.shape[-1])
            strongest, which = jax.lax.top_k(channels * channels.shape[-1], most)
            found |= {"channels": which, "channel_weights": strongest}
        return found

    def _generate(self, head: nn.Module, own: Mapping[str, Any], outputs: Any) -> jax.Array:
        """The best captions found, (B, longest + 1) int32."""
        seen, state = outputs
        limit = self.longest + 1
        if self.beam == 1:

            def step(state: Any, token: jax.Array) -> Any:
                return head.apply(own, seen, state, token, method="step")

            found = decoding.greedy(
                step, state, limit=limit, begin=BEGIN, end=END, never=NEVER_GENERATED
            )
        else:
            repeated = decoding.repeat(seen, self.beam)

            def step(state: Any, token: jax.Array) -> Any:
                return head.apply(own, repeated, state, token, method="step")

            found = decoding.beam(
                step,
                state,
                width=self.beam,
                limit=limit,
                begin=BEGIN,
                end=END,
                never=NEVER_GENERATED,
                normalisation=self.length_norm,
            )
        return found.tokens[:, 0]

    def results(
        self, totals: Any, answers: Answers | None, class_names: tuple[str, ...]
    ) -> dict[str, Any]:
        """Scores of the generated captions, and the loss of a word."""
        found: dict[str, Any] = {metric.name: None for metric in (*self.metrics, *self.details)}
        if answers is None:
            return found
        count = float(answers["count"].sum())
        loss = float(answers["nll"].astype(np.float64).sum()) / count if count else None
        captions = [decode(row, class_names) for row in answers["words"]]
        references = [sentences(texts) for texts in answers["written"]]
        found |= caption_results.scores(captions, references, self.word_groups)
        perplexity = None if loss is None else float(np.exp(min(loss, 700.0)))
        return found | {"loss": loss, "perplexity": perplexity}

    def at_stored_size(self, answer: Answers, placement: Placement) -> Answers:
        """With the `part` of the picture that the network saw: x0, y0, x1, y1 in its pixels."""
        rows, columns = placement.size
        return {**answer, "part": placement.corners_back(np.array([0, 0, columns, rows]))}

    def baselines(self, answers: Answers, known: Answers) -> dict[str, dict[str, Any]]:
        """Scores of captions of the training split: see `caption_baselines.baselines`."""
        told, told_known = ([sentences(each) for each in a["written"]] for a in (answers, known))
        return baselines(told, answers["features"], told_known, known["features"])

    def told(
        self, answer: Answers, class_names: tuple[str, ...], most: int | None = None
    ) -> dict[str, Any]:
        """`caption`, its `log_p`, its `words`; and the arrays of the answer, a row for each word and for END.

        Raises:
            UsageError: More than one caption is asked for.
        """
        if most not in (None, 1):
            raise UsageError(
                f"one caption is told of a picture, not the best {most}: leave --top (most) out"
            )
        words = decode(answer["words"], class_names)
        return {
            "caption": " ".join(words),
            "log_p": float(answer["log_p"].sum()),
            "words": words,
            **{name: answer[name][: len(words) + 1] for name in _OF_WORDS if name in answer},
            **({"part": answer["part"]} if "part" in answer else {}),
        }

    def rows(self, told: Mapping[str, Any]) -> list[tuple[str, ...]]:
        """The caption."""
        return [(told["caption"] or "(no words)", f"{told['log_p']:.2f}")]

    def draw(self, example: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The picture with its captions under it, and what was looked at for every word."""
        from chanattn.tasks.caption_pictures import draw  # takes a while

        return draw(example, told)

    def exports(
        self, found: Iterable[tuple[str, Mapping[str, Any]]], class_names: tuple[str, ...]
    ) -> dict[str, bytes]:
        """Captions in COCO's format, and in an evaluation the references, see `caption_results.exported`."""
        return caption_results.exported(found, class_names)


_LOOKING = ("spatial", "cs", "sc")
#: Fields of the head that are the task's of the same name.
_OF_HEAD = (
    *(
        "layers",
        "conditioned",
        "endpoint",
        "positions",
        "embedding",
        "unit_norm",
        "selector",
        "prev2out",
    ),
    *("ctx2out", "initial_state", "own_words"),
)
_OF_WORDS = ("looked", "channels", "channel_weights")


def _head(model: Any, weights: Mapping[str, Any]) -> tuple[nn.Module, dict[str, Any]]:
    """The head of a network by itself, and its own variables."""
    own = {kind: tree[model.head] for kind, tree in weights.items() if model.head in tree}
    return model.head_alone(), own
