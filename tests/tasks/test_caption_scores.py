"""Scores of captions equal pycocoevalcap's, whose numbers for eight pictures are stored."""

import numpy as np
import pytest

from chanattn.tasks.caption_scores import bleu, cider_d, rouge_l
from chanattn.tasks.words import tokenize
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
        ("  ", ""),
    ],
)
def test_words_are_those_of_the_penn_treebank_without_punctuation(text, words):
    assert tokenize(text) == words.split()
