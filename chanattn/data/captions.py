"""Captions: what a picture shows, in sentences of one's own words, and as numbers of a vocabulary.

The vocabulary is that of the captions of the training split. Its words are the names of the classes of the
data set, as the rest sees them: what is generated is one of these classes after another.
"""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, Protocol, cast

import numpy as np
from ml_collections import ConfigDict

from chanattn.data.fields import Array, Parts, Placement, WrongValue
from chanattn.data.source import Source
from chanattn.data.vocabulary import Vocabulary
from chanattn.data.words import tokenize
from chanattn.errors import UsageError

#: Name of the field; and of the one sentence of it that an example of a training batch is.
FIELD, TOKENS = "captions", "tokens"


@dataclasses.dataclass(frozen=True)
class Captions:
    """Sentences about a picture; stored as texts.

    A source knows none of the numbers: they come from `with_vocabulary`.

    Attributes:
        vocabulary: numbers of the words.
        most: sentences of one picture that there is room for; of more, the first are taken.
        limit: words of one sentence; those behind it are left out.
    """

    vocabulary: Vocabulary = dataclasses.field(default_factory=lambda: Vocabulary(()))
    most: int = 1
    limit: int = 1
    kind: ClassVar[str] = "captions"
    keep_whole: ClassVar[bool] = False

    def arrays(self, size: tuple[int, int]) -> dict[str, Array]:
        """`NAME` (K, L) int32: BEGIN, words and END of each sentence, 0 behind and where there is none."""
        del size
        return {"": Array((self.most, self.limit + 2), np.int32)}

    def stored(self, value: Sequence[str]) -> Sequence[str]:
        """See `Field.stored`."""
        return value

    def load(self, value: Sequence[str], to: Placement) -> Parts:
        """See `Field.load`."""
        if isinstance(value, str) or not all(isinstance(text, str) for text in value):
            raise WrongValue("has captions that are not a list of texts")
        found = np.zeros((self.most, self.limit + 2), np.int32)
        for row, words in zip(found, sentences(value), strict=False):
            row[:] = self.vocabulary.encode(words, self.limit).tokens
        return {"": found}

    def move(self, parts: Parts, to: Placement) -> Parts:
        """A sentence is the same wherever the picture lies; mirroring it is refused."""
        return parts


class Described(Protocol):
    """A source with captions."""

    def captions_of(self, index: int) -> Sequence[str]:
        """The captions of an example as they are written, found out without its picture where that can be."""


def sentences(texts: Sequence[str]) -> list[list[str]]:
    """Texts as words, without those that have none."""
    return [words for words in map(tokenize, texts) if words]


def written(source: Source, index: int) -> tuple[str, ...]:
    """The captions of an example of a source as they are written, without those that have no words."""
    texts = cast(Described, source).captions_of(index)
    return tuple(text for text in texts if tokenize(text))


def with_vocabulary(
    source: Source, dataset: ConfigDict, split: str, class_names: Sequence[str]
) -> None:
    """Lets a source tell the first caption of each picture in numbers that are known.

    Args:
        source: Changed in place.
        dataset: `config.dataset`.
        split: Its name, for the message.
        class_names: `Vocabulary.names`.

    Raises:
        UsageError: They are no such names, or there are no captions.
    """
    vocabulary = Vocabulary.of_names(class_names)
    if not any(written(source, index) for index in range(len(source))):
        raise _without_captions(source, split)
    _set(source, Captions(vocabulary, 1, dataset.most_words))


def with_own_vocabulary(source: Source, dataset: ConfigDict) -> None:
    """Lets a training split tell all its captions in numbers, by the vocabulary that is counted in it.

    Args:
        source: Changed in place; its note counts captions that were cut, and pictures without one.
        dataset: `config.dataset`.

    Raises:
        UsageError: There are no captions, or no word occurs `least_count` times.
    """
    described = cast(Described, source)
    texts = [described.captions_of(index) for index in range(len(source))]
    found = [sentences(each) for each in texts]
    words = sum(map(len, found))
    if dataset.most_captions:
        found = [each[: dataset.most_captions] for each in found]
    every = [each for several in found for each in several]
    if not every:
        raise _without_captions(source, dataset.split)
    limit = dataset.most_words
    counts = {
        "pictures without a caption, from which nothing is learnt": sum(not each for each in found),
        "captions without words, left out": sum(map(len, texts)) - words,
        f"captions cut behind config.dataset.most_words={limit} words": sum(
            len(each) > limit for each in every
        ),
    }
    told = [f"{what}: {count:,}" for what, count in counts.items() if count]
    source.note = "; ".join(note for note in (source.note, *told) if note)
    vocabulary = Vocabulary.of(every, dataset.least_count)
    _set(source, Captions(vocabulary, max(map(len, found)), limit))


def _without_captions(source: Source, split: str) -> UsageError:
    return UsageError(
        f"none of the {len(source):,} pictures of the split {split!r} has a caption with words: choose"
        " another split, or mend its captions"
    )


def _set(source: Source, kind: Captions) -> None:
    source.fields = {**source.fields, FIELD: kind}
    source.class_names = kind.vocabulary.names
