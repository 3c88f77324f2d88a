"""Batches with fields of every kind: the same from memory and streamed, each example with its own values."""

import contextlib
import pickle

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chanattn import data
from chanattn.data import loaders
from chanattn.data.captions import Captions
from chanattn.data.fields import Boxes, Label, Mask, StoredBoxes
from chanattn.data.source import Record
from chanattn.data.sources import SOURCES, open_source
from chanattn.data.vocabulary import Vocabulary
from chanattn.errors import UsageError

COUNT, SIZE = 21, (12, 16)
FIELDS = ("label", "label_map", "boxes", "captions")
MOST_WORDS = 3


def captions_of(i):
    """The first is of one word, the second longer than there is room for."""
    return [f"n{i}", f"N{i}, two three four"]


VOCABULARY = Vocabulary.of(
    [["n" + str(i), "two", "three", "four"] for i in range(COUNT) for _ in "ab"]
)


class Everything:
    """Pictures of one colour that tells their number, which their fields repeat."""

    note = ""
    objects = None
    class_names = ("a", "b", "c")
    image_shape = (*SIZE, 3)
    labels = np.arange(COUNT) % 3
    names = range(COUNT)

    def __init__(self, damaged=()):
        self.damaged = damaged
        kinds = Label(3), Mask(3, ignore=7), Boxes(3, most=4), Captions()
        self.fields = dict(zip(FIELDS, kinds, strict=True))

    def __len__(self):
        return COUNT

    def read(self, indices):
        return [self.record(i) for i in indices]

    def record(self, i):
        label_map = np.full(SIZE, i % 3, np.uint8)
        label_map[: i % 5] = 7
        encoded = cv2.imencode(".png", label_map)[1].tobytes()
        values = (
            i % 3,
            encoded[:-9] if i in self.damaged else encoded,
            StoredBoxes([[i % 7, 1, i % 7 + 5, 9]], [i % 3], [i % 2 == 0], area=[i]),
            captions_of(i),
        )
        pixels = np.full((*SIZE, 3), 10 * i + 5, np.uint8)
        return Record(pixels, dict(zip(FIELDS, values, strict=True)))

    def captions_of(self, index):
        return captions_of(index)

    def describe(self, index):
        return f"everything[{index}]"

    def place(self, index):
        return index


def check(batch, moved=False):
    """That the arrays of each real example are those of its picture."""
    for row in np.flatnonzero(batch["mask"]):
        i = batch["index"][row]
        if not moved:
            assert (np.rint(batch["image"][row] * 255) == 10 * i + 5).all()
        assert batch["label"][row] == i % 3
        assert set(np.unique(batch["label_map"][row])) <= {-1, i % 3}
        if not moved:
            assert (batch["label_map"][row] == -1).sum() == (i % 5) * SIZE[1]
            np.testing.assert_array_equal(batch["boxes"][row][0], [i % 7, 1, i % 7 + 5, 9])
        assert batch["boxes_label"][row].tolist() == [i % 3, -1, -1, -1]
        assert batch["boxes_crowd"][row].tolist() == [i % 2 == 0, False, False, False]
        assert batch["boxes_area"][row].tolist() == [i or 40, 0, 0, 0]
        expected = [
            VOCABULARY.encode(words, MOST_WORDS).tokens.tolist()
            for words in ([f"n{i}"], [f"n{i}", "two", "three"])
        ]
        if "tokens" in batch:
            assert batch["captions"][row].tolist() == expected
            assert batch["tokens"][row].tolist() in expected
        else:
            assert batch["captions"][row].tolist() == expected[:1]


@pytest.fixture
def config_of(make_config, monkeypatch):
    """A config of the set above; `damaged` are the pictures whose label maps are cut short."""

    def make(damaged=(), **fields):
        monkeypatch.setitem(SOURCES, "everything", lambda *_: Everything(damaged))
        words = {"least_count": 1, "most_words": MOST_WORDS}
        return make_config("everything", 6, mean=(0.0,) * 3, std=(1.0,) * 3, **words, **fields)

    return make


def trained(config, mesh, steps=4, fields=FIELDS):
    with data.training(config, mesh, fields=fields) as train:
        prepare, key = jax.jit(train.prepare), jax.random.key(0)
        return [
            jax.device_get(prepare(feed, jnp.int32(step), key))
            for step, feed in zip(range(steps), train.feeds(0), strict=False)
        ]


@pytest.mark.parametrize("loader", ["device", "stream"])
def test_a_batch_holds_the_fields_of_its_pictures(loader, mesh, config_of):
    config = config_of(loader=loader)
    batches = trained(config, mesh, 3)
    for batch in batches:
        check(batch)
    assert len(set(np.concatenate([b["index"] for b in batches]).tolist())) == 18
    config.dataset.augment.pad_crop = 1
    for batch in trained(config, mesh, 3):
        check(batch, moved=True)


@pytest.mark.parametrize("loader", ["device", "stream"])
def test_a_damaged_label_map_is_a_corrupt_example(loader, mesh, config_of, capsys):
    damaged = (3, 4, 20)
    for batch in trained(config_of(damaged, loader=loader, max_corrupt=3), mesh, 3):
        check(batch)
        assert not set(batch["index"].tolist()) & set(damaged)
    if loader == "device":
        assert "everything[3] (the label map ends too early)" in capsys.readouterr().err
    config = config_of(damaged, loader=loader, max_corrupt=3)
    evaluation = data.evaluation(config, mesh, batch_size=8, fields=FIELDS)
    batches = [jax.device_get(evaluation.prepare(feed)) for feed in evaluation.feeds()]
    for batch in batches:
        check(batch)
        blank = batch["mask"] == 0
        assert (batch["index"][blank] == -1).all()
        assert (batch["label_map"][blank] == -1).all()
        assert (batch["boxes_label"][blank] == -1).all()
    seen = np.concatenate([b["index"][b["mask"] > 0] for b in batches]).tolist()
    assert seen == sorted(set(range(COUNT)) - set(damaged))
    assert evaluation.num_corrupt == 3


def test_only_the_fields_asked_for_are_in_a_batch(mesh, config_of):
    (batch,) = trained(config_of(), mesh, 1, ["boxes"])
    names = {"image", "index", "mask", "boxes", "boxes_label", "boxes_crowd", "boxes_area"}
    assert set(batch) == names
    with pytest.raises(UsageError, match="no field 'depth'.*boxes, captions, label, label_map"):
        data.training(config_of(), mesh, fields=["depth"])


def test_all_arrays_count_for_the_memory_that_they_take(mesh, config_of, monkeypatch):
    # Picture, index, label, map of one byte a pixel, boxes with class, crowd and area, captions.
    size = 12 * 16 * 3 + 4 + 4 + 12 * 16 + 4 * (16 + 4 + 1 + 4) + 2 * (MOST_WORDS + 2) * 4
    monkeypatch.setattr(loaders, "DEVICE_BYTES", COUNT * size)
    with data.training(config_of(), mesh, fields=FIELDS) as train:
        assert "order" in next(train.feeds(0))
    monkeypatch.setattr(loaders, "DEVICE_BYTES", COUNT * size - 1)
    with data.training(config_of(), mesh, fields=FIELDS) as train:
        assert "order" not in next(train.feeds(0))


def test_pictures_with_boxes_or_a_label_map_are_fitted_in_whole(mesh, config_of):
    config = config_of(image_size=(24, 24), loader="device")
    for fields, whole in ((["label"], False), (["label_map"], True), (["boxes"], True)):
        source = open_source(config.dataset, "train", fields)
        assert loaders._fit(config.dataset, source, random=False).letterbox == whole
    (batch,) = trained(config, mesh, 1, ["boxes", "label_map"])
    i = batch["index"][0]
    assert (batch["label_map"][0][18:] == -1).all()
    expected = 1.5 * np.array([i % 7, 1, i % 7 + 5, 9])
    np.testing.assert_allclose(batch["boxes"][0, 0], expected)


@pytest.mark.parametrize(
    ("augment", "fields", "message"),
    [
        ({"mixup": 0.2, "cutout": 3, "flip": True, "rand_augment_ops": 1}, ["label"], None),
        ({"flip": True, "pad_crop": 4, "color_jitter": 0.4}, ["label_map", "boxes"], None),
        (
            {"cutout": 3},
            ["boxes"],
            "cutout=3 works with labels alone.* boxes; set it to .* 0, and use .*crop$",
        ),
        ({"mixup": 0.2}, ["label", "label_map"], "mixup=0.2 works with labels alone.* from masks"),
        ({"random_resized_crop": True}, ["label_map"], "random_resized_crop=True"),
        ({"eval_crop": 0.5}, ["boxes"], "eval_crop=0.5 works with labels and captions alone"),
        ({"flip": True}, ["captions"], "flip=True works with labels, masks and boxes alone"),
        ({"mixup": 0.2}, ["captions"], "mixup=0.2 works with labels alone.* 0.0$"),
        ({"random_scale": (0.5, 2.0)}, ["captions"], "random_scale=.* masks and boxes alone"),
        ({"random_resized_crop": True}, ["captions"], "random_resized_crop=True works with labels"),
    ],
)
def test_an_augmentation_that_a_field_cannot_follow_is_refused(
    augment, fields, message, mesh, config_of
):
    config = config_of()
    config.dataset.augment.update(augment)
    if message is None:
        trained(config, mesh, 1, fields)
        return
    for use in (data.training, data.evaluation):
        with pytest.raises(UsageError, match=f"config.dataset.augment.{message}"):
            use(config, mesh, fields=fields)
    with pytest.raises(UsageError, match=message):
        data.outline(config, "train", fields)


@pytest.mark.parametrize(
    ("name", "field", "size", "counts", "classes"),
    [
        ("camvid", "label_map", (45, 60), (367, 233), 11),
        ("bccd", "boxes", (60, 80), (205, 72), 3),
        ("coco_mini", "boxes", 64, (284, 128), 80),
    ],
)
@pytest.mark.parametrize("loader", ["device", "stream"])
def test_real_sets(name, field, size, counts, classes, loader, mesh, make_config, tfds_dir):
    if not (tfds_dir / name).is_dir():
        pytest.skip(f"no {name} in {tfds_dir}")
    splits = {"coco_mini": ("train+train_boxes", "validation")}.get(name, ("train", "test"))
    config = make_config(name, 8, data_dir=str(tfds_dir), split=splits[0], eval_split=splits[1])
    config.dataset.update(loader=loader, image_size=size)
    config.dataset.augment.update(pad_crop=4, flip=True)
    outline = data.outline(config, splits[0], [field])
    assert (outline.num_examples, outline.num_classes) == (counts[0], classes)
    assert data.pictures(config, [field]) == (outline.image_shape, classes)
    (batch,) = trained(config, mesh, 1, [field])
    assert batch["image"].shape == (8, *outline.image_shape)
    with contextlib.closing(data.evaluation(config, mesh, batch_size=50, fields=[field])) as test:
        batches = [jax.device_get(test.prepare(feed)) for feed in test.feeds()]
    seen = np.concatenate([b["index"][b["mask"] > 0] for b in batches])
    np.testing.assert_array_equal(seen, np.arange(counts[1]))
    if field == "boxes":
        labels = np.concatenate([b["boxes_label"] for b in batches])
        assert (labels >= 0).sum() == {"bccd": 945, "coco_mini": 898}[name]
    else:
        found = np.unique(np.concatenate([b["label_map"].ravel() for b in batches]))
        assert found.tolist() == list(range(-1, 11))


@pytest.mark.parametrize(
    ("name", "field", "message"),
    [
        (
            "coco_mini",
            "label",
            "no field 'label', which the task needs; its fields: boxes, captions",
        ),
        ("camvid", "boxes", "its fields: label_map"),
        ("cifar10", "label_map", "its fields: label$"),
    ],
)
def test_what_a_real_set_lacks_is_refused_in_one_line(name, field, message, make_config, tfds_dir):
    if not (tfds_dir / name).is_dir():
        pytest.skip(f"no {name} in {tfds_dir}")
    with pytest.raises(UsageError, match=message) as error:
        open_source(make_config(name, data_dir=str(tfds_dir)).dataset, "train", [field])
    assert "\n" not in str(error.value)


def test_boxes_of_a_real_set_are_those_of_tfds(make_config, tfds_dir):
    import tensorflow_datasets as tfds

    if not (tfds_dir / "coco_mini").is_dir():
        pytest.skip(f"no coco_mini in {tfds_dir}")
    config = make_config("coco_mini", data_dir=str(tfds_dir))
    source = pickle.loads(pickle.dumps(open_source(config.dataset, "train", ["boxes"])))
    reference = tfds.data_source("coco_mini", split="train", data_dir=tfds_dir)
    crowds = 0
    for index, record in enumerate(source.read(range(len(source)))):
        objects, boxes = reference[index]["objects"], record.fields["boxes"]
        np.testing.assert_array_equal(boxes.label, objects["label"])
        np.testing.assert_array_equal(
            boxes.corners, np.reshape(objects["bbox"], (-1, 4))[:, [1, 0, 3, 2]]
        )
        np.testing.assert_array_equal(boxes.crowd, objects["is_crowd"])
        crowds += sum(boxes.crowd)
    assert crowds == 13
