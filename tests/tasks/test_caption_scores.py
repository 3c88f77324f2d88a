"""Scores of captions equal pycocoevalcap's, whose numbers for eight pictures are stored."""

import numpy as np
import pytest

from chanattn.data.words import tokenize
from chanattn.tasks.caption_scores import bleu, cider_d, rouge_l
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def golden():
    return np.load(ROOT / "tests" / "golden" / "tasks" / "cap_metrics.npz")


@pytest.fixture(scope="module")
def sentences(golden):
    candidates = [text.split() for text in golden["candidates"].tolist()]
    references = [[text.split() for text in row if text] for row in golden["references"].tolist()]
    return candidates, references


def test_bleu_of_the_corpus(golden, sentences):
    np.testing.assert_allclose(bleu(*sentences), golden["y_bleu"], rtol=1e-9)


def test_rouge_l(golden, sentences):
    assert rouge_l(*sentences) == pytest.approx(float(golden["y_rouge_l"]), rel=1e-9)


def test_cider_d(golden, sentences):
    assert cider_d(*sentences) == pytest.approx(float(golden["y_cider_d"]), rel=1e-9)


def test_cider_needs_two_pictures():
    with pytest.raises(ValueError, match="two pictures"):
        cider_d([["a", "dog"]], [[["a", "dog"]]])


def test_a_caption_without_a_word_scores_nothing():
    candidates, references = [[], ["a", "cat"]], [[["a", "dog"]], [["a", "cat"]]]
    assert 0 < bleu(candidates, references)[0] < 1
    assert rouge_l(candidates, references) == 0.5
    assert cider_d(candidates, references) > 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A man isn't on the dog's board.", "a man is n't on the dog 's board"),
        ("They can't, we won't; you cannot!", "they ca n't we wo n't you can not"),
        ("A black-and-white T-shirt (old)", "a black-and-white t-shirt old"),
        ("\u201cHi\u201d \u2013 it\u2019s 10,000 or 3:30", "hi it 's 10,000 or 3:30"),
        ("the U.S. flag...", "the u.s. flag"),
        ("\u05e9\u05dc\u05d5\u05dd \U0001f600", "\u05e9\u05dc\u05d5\u05dd \U0001f600"),
        # Vowel signs and accents, joiners, flags and colours of skin belong to what they stand behind.
        ("\u0939\u093f\u0928\u094d\u0926\u0940!", "\u0939\u093f\u0928\u094d\u0926\u0940"),
        (
            "\u200f\u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd.",
            "\u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd",
        ),
        (
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 cafe\u0301",
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 caf\u00e9",
        ),
        (
            "\U0001f468\u200d\U0001f469\u200d\U0001f467\U0001f44d\U0001f3fd \U0001f1e9\U0001f1ea\u2764\ufe0f",
            "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f44d\U0001f3fd "
            "\U0001f1e9\U0001f1ea \u2764\ufe0f",
        ),
        ("  ", ""),
    ],
)
def test_words_are_those_of_the_penn_treebank_without_punctuation(text, words):
    assert tokenize(text) == words.split()
