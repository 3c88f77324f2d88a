"""What captions are worth that do not look at the picture, or only know which training picture is like it.

CIDEr and BLEU of a small set say little by themselves: a good guess scores too. These are the guesses.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from chanattn.tasks.caption_results import scores
from chanattn.tasks.caption_scores import Sentence, cider_d

_CANDIDATES = 150  # captions of training among which the best constant is looked for
_JUDGES = 300  # training pictures that it is judged by


def baselines(
    references: Sequence[Sequence[Sentence]],
    features: np.ndarray,
    known: Sequence[Sequence[Sentence]],
    known_features: np.ndarray,
) -> dict[str, dict[str, Any]]:
    """Scores (`caption_results.scores`) of three guesses, by the name of the guess.

    `random`: a training caption at random for each picture. `constant`: for all the same one, that of up to
    150 training captions which has the best CIDEr-D on up to 300 training pictures. `nearest`: the first
    caption of the training picture whose features have the largest cosine with the picture's.

    Args:
        references: Of the pictures that are evaluated.
        features: Of these, (N, C).
        known: Captions of the training pictures.
        known_features: Of these, (M, C).
    """
    there = [number for number, several in enumerate(known) if several]
    if not there:
        return {}
    captions = [known[number] for number in there]
    random = np.random.default_rng(0)
    every = [each for several in captions for each in several]
    drawn = random.integers(len(every), size=len(references))
    nearest = _cosines(features, known_features[there]).argmax(axis=1)
    found = {"random": [every[i] for i in drawn], "nearest": [captions[i][0] for i in nearest]}
    if len(captions) > 1:
        found["constant"] = [_best_constant(captions, every, random)] * len(references)
    return {name: scores(guesses, references) for name, guesses in found.items()}


def _cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    one, other = (
        x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12) for x in (one, other)
    )
    found: np.ndarray = one @ other.T
    return found


def _best_constant(
    captions: Sequence[Sequence[Sentence]], every: Sequence[Sentence], random: np.random.Generator
) -> Sentence:
    candidates = [every[i] for i in random.permutation(len(every))[:_CANDIDATES]]
    judges = [captions[i] for i in random.permutation(len(captions))[:_JUDGES]]
    value = [cider_d([each] * len(judges), judges) for each in candidates]
    return candidates[int(np.argmax(value))]
