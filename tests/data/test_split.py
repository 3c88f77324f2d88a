"""Parts of a split: fair samples that complete each other, the same everywhere; overlaps are refused."""

import shutil
import unicodedata

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chanattn import data
from chanattn.data import split as splits
from chanattn.data.source import ArraySource
from chanattn.data.sources import SOURCES, open_source
from chanattn.errors import UsageError
from chanattn.training import experiment
from configs import base

CLASS_SIZES = st.lists(st.integers(1, 40), min_size=2, max_size=8)


def labels_of(sizes: list[int]) -> np.ndarray:
    """As a folder orders them: class after class."""
    return np.repeat(np.arange(len(sizes)), sizes)


@given(sizes=CLASS_SIZES, borders=st.tuples(st.integers(0, 100), st.integers(0, 100)))
def test_parts_are_disjoint_complete_and_take_the_same_share_of_each_class(sizes, borders):
    labels = labels_of(sizes)
    names = [f"{label}/{number}.jpg" for number, label in enumerate(labels)]
    low, high = sorted(borders)
    parts = [
        splits.parse(f"train[{part}]").members(labels, names)
        for part in (f":{low}%", f"{low}%:{high}%", f"{high}%:")
    ]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(len(labels)))
    counts = np.array(sizes)
    for part in parts:
        assert (np.diff(part) > 0).all()
        here = np.bincount(labels[part], minlength=len(sizes))
        # Some share of all classes is within one example of what is here of each.
        assert ((here - 1) / counts).max() <= ((here + 1) / counts).min()
    first = parts[0]
    if len(first) >= len(sizes):
        assert len(set(labels[first])) == len(sizes)


@given(sizes=CLASS_SIZES, seed=st.integers(0, 1000), cut=st.integers(0, 100))
def test_a_part_is_the_same_however_the_source_is_ordered(sizes, seed, cut):
    labels = labels_of(sizes)
    names = np.array([f"{label}/é{number}.jpg" for number, label in enumerate(labels)])
    part = splits.parse(f"train[:{cut}%]")
    expected = set(names[part.members(labels, names)])
    order = np.random.default_rng(seed).permutation(len(labels))
    elsewhere = [unicodedata.normalize("NFD", name) for name in names[order]]
    found = part.members(labels[order], elsewhere)
    assert set(names[order][found]) == expected


@given(sizes=CLASS_SIZES, cut=st.integers(10, 90), lost=st.integers(0, 10**6))
def test_a_picture_less_moves_hardly_another_one(sizes, cut, lost):
    labels = labels_of(sizes)
    names = [f"{label}/{number}.jpg" for number, label in enumerate(labels)]
    part = splits.parse(f"train[:{cut}%]")
    before = {names[i] for i in part.members(labels, names)}
    gone = lost % len(labels)
    fewer, rest = np.delete(labels, gone), np.delete(names, gone)
    after = {str(rest[i]) for i in part.members(fewer, rest)}
    assert len((before ^ after) - {names[gone]}) <= 2 * len(sizes) + 2


def test_the_order_never_changes():
    """These are in use: another order would train finished runs on what they are evaluated on."""
    labels = labels_of([4, 3, 3])
    names = [f"{label}/{number}.jpg" for number, label in enumerate(labels)]
    assert splits.fair_order(labels, names).tolist() == ORDER
    assert splits.fair_order(labels, range(10)).tolist() == ORDER_OF_NUMBERS


ORDER = [8, 2, 6, 1, 9, 4, 0, 7, 5, 3]
ORDER_OF_NUMBERS = [7, 4, 3, 1, 9, 5, 2, 8, 6, 0]


@pytest.mark.parametrize("text", ["train[:11]", "train[-11:]", "train[:101%]", "train[-200%:]"])
def test_a_slice_that_leaves_the_split_is_refused(text):
    with pytest.raises(UsageError, match="goes beyond the 10 examples of train"):
        splits.parse(text).indices(10)


def dataset(name: str, **fields):
    d = base.get_config().dataset
    d.name = name
    d.update(fields)
    return d


def labels_in(source):
    return np.array([record.fields["label"] for record in source.read(range(len(source)))])


def test_no_class_of_a_folder_is_cut_off(picture_folder):
    d = dataset("folder", data_dir=str(picture_folder))
    for split in ("train[:60%]", "train[60%:]", "train[20%:50%]", "train[-10:]"):
        counts = np.bincount(labels_in(open_source(d, split)), minlength=3)
        assert counts.max() - counts.min() <= 2, split
        assert counts.min() > 0, split


@pytest.mark.parametrize("name", ["digits", "synthetic"])
def test_parts_of_the_other_sources_are_fair_too(name):
    d = dataset(name)
    whole = open_source(d, "train")
    parts = [open_source(d, split) for split in ("train[:60%]", "train[60%:]")]
    expected = np.bincount(labels_in(whole)) * 0.6
    assert np.abs(np.bincount(labels_in(parts[0])) - expected).max() <= 1
    assert data.shared(*parts) == 0
    assert sum(map(len, parts)) == len(whole) == sum(data.shared(whole, part) for part in parts)


@pytest.mark.parametrize("split", ["train[:100%]", "train[0:]", "train[0%:]", "train[-23:]"])
def test_a_part_that_is_everything_is_the_split_itself(split, picture_folder):
    d = dataset("folder", data_dir=str(picture_folder))
    whole, part = open_source(d, "train"), open_source(d, split)
    assert [part.describe(i) for i in range(len(part))] == [whole.describe(i) for i in range(23)]


OVERLAPS = [
    ("train", "train", 23),
    ("train", "train[:100%]", 23),
    ("train[0:]", "train[:5]", 5),
    ("train[:90%]", "train[-5:]", 3),
    ("train[:90%]", "train[50%:]", 9),
    ("train[:20]", "train[20:]", 0),
    ("train[:-3]", "train[-3:]", 0),
    ("train", "test", 0),
]


@pytest.mark.parametrize(("split", "eval_split", "count"), OVERLAPS)
def test_overlapping_parts_are_refused_unless_asked_for(
    split, eval_split, count, make_config, picture_folder
):
    config = make_config(
        "folder", 4, data_dir=str(picture_folder), split=split, eval_split=eval_split
    )
    config.steps = 1
    config.model.name = "resnet8"
    if count:
        with pytest.raises(UsageError, match=f"^{count} of the .*allow_overlap=true") as error:
            experiment.outline(config)
        assert "\n" not in str(error.value)
        config.dataset.allow_overlap = True
    assert experiment.outline(config).total_steps == 1


def test_a_training_refuses_them_as_well(make_config):
    config = make_config("digits", split="train[:90%]", eval_split="train[80%:]")
    config.steps = 1
    with pytest.raises(UsageError, match="144 of the 288 pictures"):
        experiment.Experiment.build(config)


@pytest.mark.parametrize("link", ["split", "class", "picture"])
def test_pictures_that_links_lead_to_are_the_same_pictures(link, picture_folder):
    d = dataset("folder", data_dir=str(picture_folder))
    shutil.rmtree(picture_folder / "test")
    train, test = picture_folder / "train", picture_folder / "test"
    if link == "split":
        test.symlink_to(train)
    else:
        test.mkdir()
        for name in ("class0", "class1"):
            if link == "class":
                (test / name).symlink_to(train / name)
                continue
            (test / name).mkdir()
            for picture in (train / name).iterdir():
                (test / name / f"again-{picture.name}").symlink_to(picture)
    count = data.shared(open_source(d, "train"), open_source(d, "test"))
    assert count == (23 if link == "split" else 16)


def test_overlaps_of_tfds_sets_are_found(tfds_dir):
    d = dataset("cifar10", data_dir=str(tfds_dir))
    train = open_source(d, "train[:90%]")
    for split, count in [
        ("train[90%:]", 0),
        ("test", 0),
        ("train[80%:]", 5000),
        ("train[44990:45010]", 10),
        ("test+train[:7]", 7),
    ]:
        assert data.shared(train, open_source(d, split)) == count, split


def test_parts_of_a_set_that_tfds_did_not_shuffle_are_refused(tfds_dir, monkeypatch):
    from tensorflow_datasets.core import dataset_info

    d = dataset("cifar10", data_dir=str(tfds_dir))
    counts = np.bincount(labels_in(open_source(d, "train[:1000]")), minlength=10)
    assert counts.min() > 70  # as it is, TFDS has shuffled it
    monkeypatch.setattr(dataset_info.DatasetInfo, "disable_shuffling", True)
    with pytest.raises(UsageError, match=r"no fair sample; take whole ones: "):
        open_source(d, "train[:50%]")
    assert len(open_source(d, "train")) == 50_000


def test_a_training_part_without_a_class_is_refused(make_config, picture_folder):
    config = make_config(
        "folder", 1, data_dir=str(picture_folder), split="train[:2]", eval_split="test"
    )
    config.steps = 1
    with pytest.raises(UsageError, match="no picture of 1 of the 3 classes"):
        experiment.outline(config)
    config.dataset.split = "train[:3]"
    config.model.name = "resnet8"
    assert experiment.outline(config).total_steps == 1


def test_a_single_class_is_refused_whatever_the_source(monkeypatch, picture_folder):
    def same(dataset, split, fields):
        return ArraySource(np.zeros((4, 2, 2, 3), np.uint8), np.zeros(4, int), ["all"], split)

    monkeypatch.setitem(SOURCES, "same", same)
    with pytest.raises(UsageError, match="data set 'same' has a single class, 'all'"):
        open_source(dataset("same"), "train")
    (picture_folder / "one").mkdir()
    (picture_folder / "train").rename(picture_folder / "one" / "train")
    d = dataset("folder", data_dir=str(picture_folder))
    with pytest.raises(UsageError, match=r"single class, 'train'.*\(class0, class1, class2\).*up"):
        open_source(d, "one")
    for name in ("class1", "class2"):
        shutil.rmtree(picture_folder / "one" / "train" / name)
    d.data_dir = str(picture_folder / "one")
    with pytest.raises(UsageError, match=r"single class, 'class0'.*a folder of its own"):
        open_source(d, "train")


def test_pictures_beside_the_class_folders_are_counted(picture_folder):
    cv2.imwrite(str(picture_folder / "train" / "stray.png"), np.zeros((2, 2, 3), np.uint8))
    source = open_source(dataset("folder", data_dir=str(picture_folder)), "train")
    assert source.note == "1 entry passed over (outside of the class folders 1)"
