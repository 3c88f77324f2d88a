"""Folders of pictures with captions in Karpathy's JSON, which has all splits in one file.

`root/dataset.json` or `root/dataset_NAME.json` (`dataset_coco.json`, `dataset_flickr8k.json`), as published
with "Deep Visual-Semantic Alignments for Generating Image Descriptions" (Karpathy and Fei-Fei 2015,
https://cs.stanford.edu/people/karpathy/deepimagesent/): a list `images`, each with `filename`, maybe the
folder `filepath`, `split`, and `sentences`. Of a sentence `raw` is taken, and its `tokens` where there is no
`raw`. The pictures lie in `root`, `root/images` or another folder of `root`.

The splits are train, val, test and, of COCO, restval: what is left of its validation split. It is a split of
its own; `train+restval` is what is mostly trained on. `validation` stands for val.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from chanattn.data.sources import json_lists
from chanattn.data.sources.folder_captions import CaptionsFolder, caption
from chanattn.data.sources.json_lists import Entry
from chanattn.errors import UsageError

_OTHER_NAMES: Mapping[str, str] = {"validation": "val"}


def open_split(dataset: ConfigDict, root: Path, split: str) -> CaptionsFolder | None:
    """The split of a folder of this layout; None if it has another.

    Raises:
        UsageError: The file is damaged or says what cannot be, lacks the split, or there are several; or
            pictures are absent: more than `dataset.max_corrupt`.
    """
    found = sorted([*root.glob("dataset.json"), *root.glob("dataset_*.json")])
    if not found:
        return None
    if len(found) > 1:
        several = " and ".join(path.name for path in found)
        raise UsageError(f"{root} holds {several}: keep one of them, which has all splits")
    (file,) = found
    (images,) = json_lists.entries(
        file, json_lists.content(file), ("images",), "Karpathy's captions"
    )
    every = [_name(file, number, image) for number, image in enumerate(images)]
    json_lists.check_once(file, "picture", every)
    json_lists.check_once(file, "imgid", (image["imgid"] for image in images if "imgid" in image))
    splits = _splits(file, images, split)
    pictures = [
        (name, image) for name, image in zip(every, images, strict=True) if image["split"] in splits
    ]
    names = [name for name, _ in pictures]
    captions = [_captions(f"{file}: picture {name}", image) for name, image in pictures]
    places = [root, root / "images", *sorted(path for path in root.iterdir() if path.is_dir())]
    place, links = json_lists.located(file, places, names, dataset.max_corrupt)
    return CaptionsFolder(place, names, links, captions)


def _name(file: Path, number: int, image: Entry) -> str:
    """The path of a picture."""
    name, place = image.get("filename"), image.get("filepath", "")
    if not (isinstance(name, str) and name and isinstance(place, str)):
        raise UsageError(f"{file}: image {number} of the list has no filename")
    if not isinstance(image.get("split"), str):
        raise UsageError(f"{file}: image {number} of the list, {name}, tells no split")
    return os.path.normpath(os.path.join(place, name))


def _splits(file: Path, images: Sequence[Entry], wanted: str) -> set[str]:
    """The splits that are meant, as the file calls them."""
    there = {image["split"] for image in images}
    names = wanted.split("+")
    found = [name if name in there else _OTHER_NAMES.get(name, name) for name in names]
    if absent := [name for name in found if name not in there]:
        has = ", ".join(sorted(there)) or "no pictures"
        raise UsageError(
            f"{file} has no split {absent[0]!r}; it has {has}: choose of these, several as in train+restval"
        )
    return set(found)


def _captions(which: str, image: Entry) -> list[str]:
    sentences: Any = image.get("sentences", [])
    if not (isinstance(sentences, list) and all(isinstance(each, dict) for each in sentences)):
        raise UsageError(f"{which} has sentences that are no list of objects: mend them")
    return [caption(which, _text(each)) for each in sentences]


def _text(sentence: Entry) -> Any:
    """What is written, or the words of it joined."""
    words = sentence.get("tokens")
    if "raw" in sentence or not isinstance(words, list):
        return sentence.get("raw")
    return " ".join(words) if all(isinstance(word, str) for word in words) else words
