"""What generated captions are worth, as numbers and as files of COCO's format."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from chanattn.data.vocabulary import decode
from chanattn.errors import UsageError
from chanattn.runs.per_class import PREFIX, WORDS
from chanattn.tasks.caption_scores import Sentence, bleu, cider_d, rouge_l

#: Result with the accuracy of every group of words.
GROUPS = f"{PREFIX}{WORDS}"


def groups(texts: Sequence[str]) -> dict[str, frozenset[str]]:
    """The words of every group, by its name.

    Args:
        texts: "colour: red green blue".

    Raises:
        UsageError: A text is not of that form, or two groups have the same name.
    """
    found: dict[str, frozenset[str]] = {}
    for text in texts:
        name, colon, words = text.partition(":")
        name = name.strip()
        if not (name and colon and words.split()):
            raise UsageError(
                f"task.word_groups are texts such as 'colour: red green blue', not {text!r}"
            )
        if name in found:
            raise UsageError(f"task.word_groups names the group {name!r} twice")
        own = words.split()
        twice = [
            word for word in own if own.count(word) > 1 or any(word in o for o in found.values())
        ]
        if twice:
            raise UsageError(f"task.word_groups has the word {twice[0]!r} twice: keep one of them")
        found[name] = frozenset(own)
    return found


def scores(
    captions: Sequence[Sentence],
    references: Sequence[Sequence[Sentence]],
    word_groups: Sequence[str] = (),
) -> dict[str, Any]:
    """Scores of captions (`chanattn.tasks.captioning.Captioning.metrics`), without the loss.

    Pictures without a reference are left out, and counted as `pictures_without_captions`. `exact` is the
    share of captions that are one of their references, word for word. `..._exchanged` are the scores with
    every caption at another picture: what is left of them does not come from the picture.

    Args:
        captions: As words.
        references: Of each picture.
        word_groups: See `groups`.
    """
    kept = [number for number, several in enumerate(references) if several]
    found: dict[str, Any] = {}
    if len(kept) < len(references):
        found["pictures_without_captions"] = len(references) - len(kept)
    if not kept:
        return found
    captions, references = [captions[i] for i in kept], [references[i] for i in kept]
    for order, value in enumerate(bleu(captions, references), start=1):
        found[f"bleu{order}"] = value
    found["rouge_l"] = rouge_l(captions, references)
    found["exact"] = exact(captions, references)
    if len(kept) > 1:
        found["cider"] = cider_d(captions, references)
        others = exchanged(captions)
        found["cider_exchanged"] = cider_d(others, references)
        found["exact_exchanged"] = exact(others, references)
    if word_groups:
        found[GROUPS] = {
            name: of_group(captions, references, words)
            for name, words in groups(word_groups).items()
        }
    return found


def exact(captions: Sequence[Sentence], references: Sequence[Sequence[Sentence]]) -> float:
    """The share of captions that are one of their references, word for word."""
    pairs = zip(captions, references, strict=True)
    right = [list(own) in [list(each) for each in several] for own, several in pairs]
    return float(np.mean(right))


def exchanged(captions: Sequence[Sentence]) -> list[Sentence]:
    """Every caption at another picture, the same one at every call."""
    order = np.random.default_rng(0).permutation(len(captions))
    others: list[Sentence] = list(captions)
    for here, there in zip(order, np.roll(order, 1), strict=True):
        others[there] = captions[here]
    return others


def of_group(
    captions: Sequence[Sentence], references: Sequence[Sequence[Sentence]], words: frozenset[str]
) -> float | None:
    """The share of the words of a group that captions have right: which words, in which order.

    The n-th word of the group in a caption is compared with the n-th in the reference that agrees most with
    the whole caption; one that has no counterpart is wrong. None: there are none to compare.
    """
    right = total = 0
    for own, several in zip(captions, references, strict=True):
        nearest = max(several, key=lambda each: _agreement(own, each))
        one, other = ([word for word in each if word in words] for each in (own, nearest))
        right += sum(a == b for a, b in zip(one, other, strict=False))
        total += max(len(one), len(other))
    return right / total if total else None


def _agreement(one: Sentence, other: Sentence) -> int:
    return sum(a == b for a, b in zip(one, other, strict=False)) - abs(len(one) - len(other))


def exported(
    found: Iterable[tuple[str, Mapping[str, Any]]], class_names: Sequence[str]
) -> dict[str, bytes]:
    """Captions as COCO's results, and where they are known the references as its annotations.

    With these, the tools of COCO compute what is not computed here (METEOR, SPICE): see docs/captioning.md.
    The id of a picture is its number from 0, beside which stands its name.

    Args:
        found: The name of each picture with its answer, of an evaluation or as `told`.
        class_names: Of the words.

    Returns:
        `.captions.json`, and of an evaluation `.references.json`.
    """
    results: list[dict[str, Any]] = []
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    known = True
    for number, (name, answer) in enumerate(found):
        known &= "written" in answer
        told = answer.get("caption")
        text = " ".join(decode(answer["words"], class_names)) if told is None else told
        results.append({"image_id": number, "caption": text, "file_name": name})
        images.append({"id": number, "file_name": name})
        for caption in answer.get("written", ()):
            annotations.append({"id": len(annotations), "image_id": number, "caption": caption})
    files = {".captions.json": _json(results)}
    if known:
        references = {
            "info": {},
            "licenses": [],
            "type": "captions",
            "images": images,
            "annotations": annotations,
        }
        files[".references.json"] = _json(references)
    return files


def _json(value: object) -> bytes:
    return json.dumps(value, allow_nan=False, ensure_ascii=False).encode("utf-8", "surrogatepass")
