"""What captions are worth where there is little to compare them with."""

import json

import numpy as np

from chanattn.data.vocabulary import END, Vocabulary
from chanattn.tasks.caption_results import exported, scores
from chanattn.tasks.captioning import Captioning

DOG, CAT = ["a", "dog"], ["a", "cat"]


def test_pictures_without_a_caption_are_counted_and_not_scored() -> None:
    found = scores([DOG, DOG, CAT], [[DOG], [], [CAT, DOG]])
    assert found.pop("pictures_without_captions") == 1
    assert found == scores([DOG, CAT], [[DOG], [CAT, DOG]])
    assert found["exact"] == 1.0
    assert scores([DOG], [[]]) == {"pictures_without_captions": 1}


def test_one_reference_or_one_picture_is_enough_for_all_but_cider() -> None:
    several = scores([DOG, CAT, ["no"]], [[DOG], [DOG], [CAT]])
    assert several["exact"] == 1 / 3
    assert several["cider"] > several["cider_exchanged"]
    alone = scores([DOG], [[DOG]])
    assert alone["exact"] == 1.0
    np.testing.assert_allclose([alone["bleu1"], alone["bleu2"], alone["rouge_l"]], 1, rtol=1e-6)
    assert not {"cider", "cider_exchanged"} & alone.keys()


def test_a_single_picture_has_results_without_cider() -> None:
    names = Vocabulary(("a", "dog")).names
    texts = np.empty(1, object)
    texts[0] = ("A dog.",)
    answers = {"words": np.array([[4, 5, END, 0]]), "nll": np.ones(1), "count": np.array([3])}
    found = Captioning().results(None, {**answers, "written": texts}, names)
    assert {metric.name for metric in Captioning.metrics} <= found.keys()
    assert (found["cider"], found["exact"], found["loss"]) == (None, 1.0, 1 / 3)
    texts[0] = ()
    nothing = Captioning().results(None, {**answers, "count": np.zeros(1), "written": texts}, names)
    assert (nothing["exact"], nothing["loss"], nothing["perplexity"]) == (None, None, None)


def test_exports_keep_any_script() -> None:
    names = Vocabulary(("\u05e9\u05dc\u05d5\u05dd", "\U0001f415")).names
    answer = {"words": np.array([4, 5, END]), "written": ("\U0001f415!",)}
    files = exported([("a.jpg", answer)], names)
    (caption,) = json.loads(files[".captions.json"])
    assert caption["caption"] == "\u05e9\u05dc\u05d5\u05dd \U0001f415"
    (reference,) = json.loads(files[".references.json"])["annotations"]
    assert reference["caption"] == "\U0001f415!"
