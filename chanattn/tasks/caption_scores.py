"""BLEU, ROUGE-L and CIDEr-D of generated captions, as pycocoevalcap computes them.

Sentences are sequences of words (`chanattn.data.words.tokenize`); every picture has one candidate and one
reference at least. All scores are of a whole split: none is a mean over batches, and CIDEr weighs words by
how rare they are among the references of the very pictures that it is computed on.

Papineni, Roukos, Ward, Zhu. BLEU. ACL 2002. Lin. ROUGE. ACL workshop 2004. Vedantam, Zitnick, Parikh. CIDEr.
CVPR 2015, arXiv:1411.5726. Chen et al. Microsoft COCO Captions. 2015, arXiv:1504.00325.
"""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

Sentence = Sequence[str]
References = Sequence[Sequence[Sentence]]
ORDERS = 4
#: As pycocoevalcap has them, so that sentences without any n-gram in common have a score.
_TINY, _SMALL = 1e-15, 1e-9
_BETA = 1.2  # of ROUGE-L: how much more recall weighs than precision
_SIGMA = 6.0  # of CIDEr-D's penalty of lengths, which the code counts in bigrams


def bleu(candidates: Sequence[Sentence], references: References) -> list[float]:
    """BLEU-1 to BLEU-4 of the whole corpus, in [0, 1].

    Matches and n-grams are added up over all pictures; matches of an n-gram are limited to the most that
    one reference has; the reference length of a picture is the one nearest to the candidate's, of two the
    shorter; exp(1 - r / c) punishes candidates that are shorter together.
    """
    right, made = np.zeros(ORDERS), np.zeros(ORDERS)
    length = nearest = 0
    for candidate, several in zip(candidates, references, strict=True):
        length += len(candidate)
        nearest += min((abs(len(each) - len(candidate)), len(each)) for each in several)[1]
        for order in range(1, ORDERS + 1):
            own = _ngrams(candidate, order)
            most: Counter[tuple[str, ...]] = Counter()
            for each in several:
                most |= _ngrams(each, order)
            right[order - 1] += (own & most).total()
            made[order - 1] += max(0, len(candidate) - order + 1)
    precision = (right + _TINY) / (made + _SMALL)
    ratio = (length + _TINY) / (nearest + _SMALL)
    brevity = math.exp(1 - 1 / ratio) if ratio < 1 else 1.0
    means = np.cumprod(precision) ** (1 / np.arange(1, ORDERS + 1))
    return [float(value) for value in means * brevity]


def rouge_l(candidates: Sequence[Sentence], references: References) -> float:
    """The mean over pictures of ROUGE-L, in [0, 1].

    Precision and recall of the longest common subsequence are each the best over the references, so that
    they may come from two.
    """
    return float(np.mean([_rouge(c, r) for c, r in zip(candidates, references, strict=True)]))


def cider_d(candidates: Sequence[Sentence], references: References) -> float:
    """The mean over pictures of CIDEr-D, in [0, 10].

    The similarity of two sentences is the cosine of their tf-idf vectors of n-grams, with the candidate's
    entries limited to the reference's, times exp(-d^2 / (2 sigma^2)) of the difference of lengths; the mean
    over references and over n from 1 to 4, times ten.

    Raises:
        ValueError: there are fewer than two pictures, of which no word could be called rare.
    """
    if len(candidates) < 2:
        raise ValueError(
            "CIDEr needs two pictures at least: words weigh by the pictures without them"
        )
    found_in: Counter[tuple[str, ...]] = Counter()
    for several in references:
        found_in.update({gram for each in several for n in _ORDERS for gram in _ngrams(each, n)})
    everywhere = math.log(len(references))

    def vectors(sentence: Sentence) -> list[dict[tuple[str, ...], float]]:
        return [
            {
                gram: count * (everywhere - math.log(max(1, found_in[gram])))
                for gram, count in _ngrams(sentence, n).items()
            }
            for n in _ORDERS
        ]

    scores = []
    for candidate, several in zip(candidates, references, strict=True):
        own, similarities = vectors(candidate), []
        for each in several:
            difference = max(0, len(candidate) - 1) - max(0, len(each) - 1)
            penalty = math.exp(-(difference**2) / (2 * _SIGMA**2))
            cosines = [_clipped_cosine(*pair) for pair in zip(own, vectors(each), strict=True)]
            similarities.append(penalty * float(np.mean(cosines)))
        scores.append(10 * float(np.mean(similarities)))
    return float(np.mean(scores))


_ORDERS = range(1, ORDERS + 1)


def _ngrams(sentence: Sentence, order: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(sentence[i : i + order]) for i in range(len(sentence) - order + 1))


def _clipped_cosine(
    own: dict[tuple[str, ...], float], other: dict[tuple[str, ...], float]
) -> float:
    product = sum(
        min(value, other[gram]) * other[gram] for gram, value in own.items() if gram in other
    )
    norms = math.hypot(*own.values()) * math.hypot(*other.values())
    return product / norms if norms else 0.0


def _rouge(candidate: Sentence, several: Sequence[Sentence]) -> float:
    common = [_longest_common(candidate, each) for each in several]
    if not max(common):
        return 0.0
    precision = max(c / len(candidate) for c in common)
    recall = max(c / len(each) for c, each in zip(common, several, strict=True) if each)
    return (1 + _BETA**2) * precision * recall / (recall + _BETA**2 * precision)


def _longest_common(one: Sentence, other: Sentence) -> int:
    """Length of the longest subsequence of both."""
    row = [0] * (len(other) + 1)
    for word in one:
        before = 0
        for place, their in enumerate(other, start=1):
            before, row[place] = (
                row[place],
                before + 1 if word == their else max(row[place], row[place - 1]),
            )
    return row[-1]
