"""Vocabularies: numbers of words, sentences there and back, files."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chanattn.errors import UsageError
from chanattn.runs.json_object import Damaged
from chanattn.tasks.vocabulary import BEGIN, END, PAD, UNKNOWN, Vocabulary

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
    assert vocabulary.decode(tokens) == ["the", "<unknown>", "and", "a", "dog"]
    assert vocabulary.encode(["the", "dog"], 2).cut is False
    tokens, cut = vocabulary.encode(["the", "dog", "and", "a", "dog"], 2)
    assert (tokens.tolist(), cut) == ([1, 6, 5, 2], True)
    assert vocabulary.decode([5, 6, 2, 4, 99]) == ["dog", "the"]
    assert vocabulary.decode([4, 0, 0]) == ["a"]
    assert vocabulary.encode([], 3).tokens.tolist() == [1, 2, 0, 0, 0]
    for wrong in (-1, 8):
        with pytest.raises(IndexError):
            vocabulary.decode([wrong])


FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
ANY_SCRIPT = [
    "\u05e9\u05dc\u05d5\u05dd",
    "\u0645\u0631\u062d\u0628\u0627",
    FAMILY,
    "\u00e9",
    "e\u0301",
    "\u732b",
]


def test_emoji_and_any_script_are_kept_whole(tmp_path: Path) -> None:
    vocabulary = Vocabulary.of([ANY_SCRIPT])
    vocabulary.write(tmp_path / "vocabulary.json")
    again = Vocabulary.read(tmp_path / "vocabulary.json")
    assert again == vocabulary
    assert again.fingerprint == vocabulary.fingerprint
    assert again.decode(again.encode(ANY_SCRIPT, 9).tokens) == ANY_SCRIPT


@given(st.lists(st.lists(st.text(min_size=1), max_size=6), min_size=1))
def test_every_vocabulary_comes_back_from_json(sentences: list[list[str]]) -> None:
    if not any(sentences):
        return
    vocabulary = Vocabulary.of(sentences)
    values = json.loads(json.dumps(vocabulary.to_json()))
    assert Vocabulary.from_json(values, Path("v.json")) == vocabulary
    for sentence in sentences:
        assert vocabulary.decode(vocabulary.encode(sentence, 6).tokens) == sentence


def test_the_fingerprint_tells_words_and_their_order() -> None:
    one = Vocabulary(("a", "bc"))
    assert one.fingerprint == Vocabulary(("a", "bc"), least=3).fingerprint
    others = [("bc", "a"), ("ab", "c"), ("a", "b", "c"), ("a",), ()]
    assert len({one.fingerprint, *(Vocabulary(words).fingerprint for words in others)}) == 6
    assert len(one.fingerprint) == 16


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "it is not JSON"),
        ("[]", "holds a list instead of an object"),
        ({"format": 2}, "has format 2, and this version reads 1"),
        ({"words": None}, "words is null, not a list"),
        ({"words": ["a", 3]}, "among its words is 3"),
        ({"words": ["a", "a"]}, "has the word 'a' twice"),
        ({"words": ["a", "<end>"]}, "has '<end>' for something else than a word"),
        ({"words": ["b", "a"]}, "its words are not those that were saved"),
        ({"fingerprint": 5}, "fingerprint is a number, not a text"),
        ({"least": "2"}, "least is a text, not an integer"),
    ],
)
def test_damage_is_one_clear_line(tmp_path: Path, content: object, message: str) -> None:
    path = tmp_path / "vocabulary.json"
    if isinstance(content, dict):
        content = json.dumps(Vocabulary(("a", "b")).to_json() | content)
    path.write_text(str(content))
    with pytest.raises(Damaged, match=message) as raised:
        Vocabulary.read(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_where_there_is_no_file_there_is_no_vocabulary(tmp_path: Path) -> None:
    assert Vocabulary.read(tmp_path / "vocabulary.json") is None
