"""Words and their numbers."""

import dataclasses
import functools
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from chanattn.errors import UsageError
from chanattn.files import write_json
from chanattn.runs.json_object import Damaged, check_format, read_json, take

FORMAT = 1
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

    Attributes:
        words: In the order of their numbers; no word twice.
        least: How often a word occurred at least in the sentences that the vocabulary was made of.
    """

    words: tuple[str, ...]
    least: int = 1

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
            sentences: As words (`chanattn.tasks.words.tokenize`).
            least: At least 1.

        Raises:
            UsageError: No word occurs that often.
        """
        counts = Counter(word for sentence in sentences for word in sentence)
        kept = [word for word, count in counts.items() if count >= least]
        if not kept:
            raise UsageError(
                f"none of the {len(counts)} words of the captions occurs {least} times: give captions with"
                " words, or a smaller least count"
            )
        return cls(tuple(sorted(kept, key=lambda word: (-counts[word], word))), least)

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

    def decode(self, tokens: Iterable[int]) -> list[str]:
        """The words in front of END, or of the end; PAD and BEGIN are no words, UNKNOWN is `<unknown>`.

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
                words.append(self.names[token])
        return words

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that differ where a number stands for another word."""
        sizes_and_words = b"".join(
            len(raw).to_bytes(4, "big") + raw
            for raw in (word.encode("utf-8", "surrogatepass") for word in self.names)
        )
        return hashlib.sha256(sizes_and_words).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """JSON values, from which `from_json` makes the same vocabulary."""
        return {
            "format": FORMAT,
            "least": self.least,
            "fingerprint": self.fingerprint,
            "words": list(self.words),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any], path: Path) -> Self:
        """What `to_json` gave.

        Args:
            values: A JSON object.
            path: Where it comes from, for messages.

        Raises:
            Damaged: It is something else.
        """
        values = dict(values)
        check_format(values, FORMAT, path)
        least, words = take(values, "least", int, path), take(values, "words", list, path)
        for word in words:
            if not isinstance(word, str):
                raise Damaged(f"{path} is damaged: among its words is {word!r}")
        try:
            vocabulary = cls(tuple(words), least)
        except UsageError as error:
            raise Damaged(f"{path} is damaged: {error}") from error
        if vocabulary.fingerprint != take(values, "fingerprint", str, path):
            raise Damaged(f"{path} is damaged: its words are not those that were saved")
        return vocabulary

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The vocabulary in a file; None if there is no such file.

        Raises:
            Damaged: The file holds something else.
        """
        values = read_json(path)
        return None if values is None else cls.from_json(values, path)

    def write(self, path: Path) -> None:
        """Writes the file, atomically."""
        write_json(path, self.to_json())
