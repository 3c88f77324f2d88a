"""Words and their numbers."""

import dataclasses
import functools
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Self

import numpy as np

from chanattn.errors import UsageError

PAD, BEGIN, END, UNKNOWN = range(4)
#: What the first numbers stand for, in their order; the tokenizer makes no such words.
SPECIAL = ("<pad>", "<begin>", "<end>", "<unknown>")
#: What a generated sentence never contains.
NEVER_GENERATED = (PAD, BEGIN, UNKNOWN)


class Encoded(NamedTuple):
    """A sentence as numbers.

    Attributes:
        tokens: (limit + 2,) int32: BEGIN, the words, END, and PAD to the end.
        cut: Whether words behind the limit were left out; END stands behind the last that was kept.
    """

    tokens: np.ndarray
    cut: bool


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """The words that a model can say: word i has number i + 4, behind PAD, BEGIN, END and UNKNOWN.

    What the numbers stand for are the names of the classes of a data set with captions, so that a run keeps
    its vocabulary in `classes.json` and compares it as it compares classes.

    Attributes:
        words: In the order of their numbers; no word twice.
    """

    words: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(set(self.words)) < len(self.words):
            twice = next(word for word, count in Counter(self.words).items() if count > 1)
            raise UsageError(f"a vocabulary has the word {twice!r} twice")
        if special := sorted(set(SPECIAL) & set(self.words)):
            raise UsageError(f"a vocabulary has {special[0]!r} for something else than a word")

    @classmethod
    def of(cls, sentences: Iterable[Sequence[str]], least: int = 1) -> Self:
        """The words that occur `least` times or more, by falling count, equal ones in alphabetical order.

        Args:
            sentences: As words (`chanattn.data.words.tokenize`).
            least: At least 1.

        Raises:
            UsageError: No word occurs that often.
        """
        counts = Counter(word for sentence in sentences for word in sentence)
        kept = [word for word, count in counts.items() if count >= least]
        if not kept:
            raise UsageError(
                f"none of the {len(counts)} words of the captions occurs {least} times: give captions with"
                " words, or a smaller config.dataset.least_count"
            )
        return cls(tuple(sorted(kept, key=lambda word: (-counts[word], word))))

    @classmethod
    def of_names(cls, names: Sequence[str]) -> Self:
        """The vocabulary whose `names` these are.

        Raises:
            UsageError: They are those of something else.
        """
        if not is_vocabulary(names):
            raise UsageError(
                f"the classes {', '.join(names[: len(SPECIAL)])}, ... are no vocabulary, which begins with"
                f" {', '.join(SPECIAL)}: take a run that has learnt from captions"
            )
        return cls(tuple(names[len(SPECIAL) :]))

    def __len__(self) -> int:
        """How many numbers there are: those of the words and the first four."""
        return len(self.names)

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """What every number stands for."""
        return SPECIAL + self.words

    @functools.cached_property
    def _numbers(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words, len(SPECIAL))}

    def encode(self, words: Sequence[str], limit: int) -> Encoded:
        """A sentence as numbers, at most `limit` words of it; words that are not known are UNKNOWN."""
        tokens = np.full(limit + 2, PAD, np.int32)
        kept = [self._numbers.get(word, UNKNOWN) for word in words[:limit]]
        tokens[: len(kept) + 2] = [BEGIN, *kept, END]
        return Encoded(tokens, cut=len(words) > limit)


def is_vocabulary(names: Sequence[str]) -> bool:
    """Whether names of classes are words (`Vocabulary.names`)."""
    return tuple(names[: len(SPECIAL)]) == SPECIAL


def decode(tokens: Iterable[int], names: Sequence[str]) -> list[str]:
    """The words in front of END, or of the end; PAD and BEGIN are no words, UNKNOWN is `<unknown>`.

    Args:
        tokens: Numbers of a vocabulary.
        names: What they stand for, `Vocabulary.names`.

    Raises:
        IndexError: There is no such number.
    """
    words = []
    for token in map(int, tokens):
        if token == END:
            break
        if token not in (PAD, BEGIN):
            if token < 0:
                raise IndexError(f"a vocabulary has no number {token}")
            words.append(names[token])
    return words
