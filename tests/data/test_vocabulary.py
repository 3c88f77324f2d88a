"""Vocabularies: numbers of words, sentences there and back."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chanattn.data.vocabulary import BEGIN, END, PAD, SPECIAL, UNKNOWN, Vocabulary, decode
from chanattn.errors import UsageError

SENTENCES = ["a cat and a dog", "the dog", "a dog", "the zebra and the ant"]
WORDS = [sentence.split() for sentence in SENTENCES]


def test_words_are_numbered_by_falling_count_and_then_alphabetically() -> None:
    vocabulary = Vocabulary.of(WORDS)
    assert vocabulary.words == ("a", "dog", "the", "and", "ant", "cat", "zebra")
    assert (PAD, BEGIN, END, UNKNOWN) == (0, 1, 2, 3)
    assert vocabulary.names[:4] == ("<pad>", "<begin>", "<end>", "<unknown>")
    assert len(vocabulary) == len(vocabulary.names) == 11
    assert Vocabulary.of(reversed(WORDS)) == vocabulary
    assert Vocabulary.of(WORDS, least=2).words == ("a", "dog", "the", "and")
    with pytest.raises(UsageError, match="none of the 7 words of the captions occurs 4 times"):
        Vocabulary.of(WORDS, least=4)
    with pytest.raises(UsageError, match="none of the 0 words"):
        Vocabulary.of([[], []])


def test_sentences_are_encoded_cut_and_decoded() -> None:
    vocabulary = Vocabulary.of(WORDS, least=2)
    tokens, cut = vocabulary.encode(["the", "cat", "and", "a", "dog"], 6)
    assert (tokens.tolist(), cut) == ([1, 6, UNKNOWN, 7, 4, 5, 2, 0], False)
    assert tokens.dtype == np.int32
    assert decode(tokens, vocabulary.names) == ["the", "<unknown>", "and", "a", "dog"]
    assert vocabulary.encode(["the", "dog"], 2).cut is False
    tokens, cut = vocabulary.encode(["the", "dog", "and", "a", "dog"], 2)
    assert (tokens.tolist(), cut) == ([1, 6, 5, 2], True)
    assert decode([5, 6, 2, 4, 99], vocabulary.names) == ["dog", "the"]
    assert decode([4, 0, 0], vocabulary.names) == ["a"]
    assert vocabulary.encode([], 3).tokens.tolist() == [1, 2, 0, 0, 0]
    for wrong in (-1, 8):
        with pytest.raises(IndexError):
            decode([wrong], vocabulary.names)


FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
ANY_SCRIPT = [
    "\u05e9\u05dc\u05d5\u05dd",
    "\u0645\u0631\u062d\u0628\u0627",
    FAMILY,
    "\u00e9",
    "e\u0301",
    "\u732b",
]


def test_emoji_and_any_script_are_kept_whole() -> None:
    vocabulary = Vocabulary.of([ANY_SCRIPT])
    again = Vocabulary.of_names(json.loads(json.dumps(vocabulary.names)))
    assert again == vocabulary
    assert decode(again.encode(ANY_SCRIPT, 9).tokens, again.names) == ANY_SCRIPT


@given(st.lists(st.lists(st.text(min_size=1), max_size=6), min_size=1))
def test_sentences_come_back_from_their_numbers(sentences: list[list[str]]) -> None:
    if not any(sentences):
        return
    vocabulary = Vocabulary.of(sentences)
    for sentence in sentences:
        assert decode(vocabulary.encode(sentence, 6).tokens, vocabulary.names) == sentence


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["cat", "dog"], "the classes cat, dog, ... are no vocabulary"),
        ([*SPECIAL, "a", "a"], "has the word 'a' twice"),
        ([*SPECIAL, "a", "<end>"], "has '<end>' for something else than a word"),
    ],
)
def test_other_names_are_refused(names: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Vocabulary.of_names(names)
