"""Sources: what they hold, how splits are named, and what is said when they are absent."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from ml_collections import ConfigDict
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from chanattn import data
from chanattn.data import split as splits
from chanattn.data.fields import Mask, Placement
from chanattn.data.sources import SOURCES, digits, open_source
from chanattn.errors import UsageError
from configs import base


def dataset(name: str, **fields):
    d = base.get_config().dataset
    d.name = name
    d.update(fields)
    return d


def arrays(source):
    records = source.read(range(len(source)))
    return np.stack([r.image for r in records]), np.array([r.fields["label"] for r in records])


def test_digits_are_split_completely_and_by_class():
    (train, train_labels), (test, test_labels) = (
        arrays(open_source(dataset("digits"), split)) for split in ("train", "test")
    )
    bunch = load_digits()
    everything = sorted(image.tobytes() for image in [*train, *test])
    assert everything == sorted(
        (np.rint(bunch.images * 255 / 16)).astype(np.uint8)[..., None][i].tobytes()
        for i in range(1797)
    )
    assert train.dtype == np.uint8
    assert (train.min(), train.max()) == (0, 255)
    whole = np.bincount(bunch.target)
    np.testing.assert_array_equal(np.bincount(train_labels) + np.bincount(test_labels), whole)
    np.testing.assert_array_equal(np.bincount(test_labels), whole // 5)


def test_synthetic_pictures_can_be_learnt_and_never_change():
    d = dataset("synthetic", synthetic_examples=200, synthetic_classes=4, image_size=12)
    x, y = arrays(open_source(d, "train"))
    again, _ = arrays(open_source(d, "train"))
    x_test, y_test = arrays(open_source(d, "test"))
    np.testing.assert_array_equal(x, again)
    assert not (x == x_test).all(axis=(1, 2, 3)).any()
    model = LogisticRegression(max_iter=200).fit(x.reshape(200, -1) / 255, y)
    assert model.score(x_test.reshape(200, -1) / 255, y_test) > 0.9


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train", range(10)),
        ("train[:3]", range(3)),
        ("train[-2:]", range(8, 10)),
        ("train[20%:50%]", range(2, 5)),
        ("train[2:-1]", range(2, 9)),
    ],
)
def test_splits_are_sliced_like_lists(text, expected):
    assert splits.parse(text).indices(10) == expected


@pytest.mark.parametrize(
    "text", ["train[", "train[3]", "train[a:b]", "train+", "train+test[:3]", ""]
)
def test_malformed_splits_are_refused(text):
    with pytest.raises(UsageError, match="is not understood"):
        splits.parse(text)


@pytest.fixture
def folder(tmp_path) -> Path:
    for split in ("train", "test"):
        for label, name in enumerate(["ant", "bee"]):
            directory = tmp_path / split / name / "deeper"
            directory.mkdir(parents=True)
            image = np.full((6, 8, 3), 100 * label + 20, np.uint8)
            cv2.imwrite(str(directory / "a.png"), image)
            cv2.imwrite(str(directory.parent / "b.JPG"), image)
            (directory / "notes.txt").write_text("not a picture")
            (directory / ".hidden.png").write_text("not a picture")
    return tmp_path


def test_folder_classes_are_its_folders_in_order(folder):
    source = open_source(dataset("folder", data_dir=str(folder)), "train")
    assert source.class_names == ("ant", "bee")
    assert [record.fields["label"] for record in source.read(range(len(source)))] == [0, 0, 1, 1]
    assert source.describe(3).endswith("train/bee/deeper/a.png")
    assert source.read([3])[0].image == (folder / "train/bee/deeper/a.png").read_bytes()


def test_deleted_picture_is_reported_in_place(folder):
    source = open_source(dataset("folder", data_dir=str(folder)), "train")
    (folder / "train/ant/b.JPG").unlink()
    assert [isinstance(r, OSError) for r in source.read([0, 1])] == [True, False]


@pytest.mark.parametrize(
    ("fields", "split", "message"),
    [
        ({"name": "digits"}, "validation", "splits train and test"),
        ({"name": "digits"}, "train[:0]", "holds no examples"),
        ({"name": "synthetic"}, "dev", "splits train, test, validation"),
        ({"name": "folder"}, "train", "data_dir"),
        ({"name": "folder", "data_dir": "/nowhere"}, "train", "/nowhere/train"),
        ({"name": "cifar1O"}, "train", "Did you mean 'cifar10'"),
        ({"name": "digit"}, "train", "Did you mean 'digits'"),
        ({"name": "cifar10:9.9.9"}, "train", "9.9.9"),
    ],
)
def test_what_cannot_be_opened_is_named_in_one_line(fields, split, message):
    with pytest.raises(UsageError, match=message) as error:
        open_source(dataset(**fields), split)
    assert "\n" not in str(error.value)


def test_unprepared_set_lists_paths_and_command(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "from_env"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with pytest.raises(UsageError) as error:
        open_source(dataset("cifar100"), "train")
    message = str(error.value)
    assert str(tmp_path / "from_env" / "cifar100") in message
    assert str(tmp_path / "home" / "tensorflow_datasets" / "cifar100") in message
    assert "python -m chanattn.data.prepare cifar100" in message


def test_empty_class_folder_is_named(folder):
    (folder / "train" / "cat").mkdir()
    with pytest.raises(UsageError, match="train/cat holds no pictures"):
        open_source(dataset("folder", data_dir=str(folder)), "train")


def test_a_new_source_is_one_line(monkeypatch):
    monkeypatch.setitem(SOURCES, "mine", SOURCES["digits"])
    assert len(open_source(dataset("mine"), "test[:5]")) == 5


def test_tfds_sets_are_read_with_their_own_split_syntax(tfds_dir):
    d = dataset("cifar10", data_dir=str(tfds_dir))
    source = open_source(d, "train[:30]+test[-20:]")
    assert len(source) == 50
    assert source.image_shape == (32, 32, 3)
    assert source.class_names[:2] == ("airplane", "automobile")
    # TFDS's own decoding as the independent reader.
    import tensorflow_datasets as tfds

    from chanattn.data.decode import decode

    reference = tfds.data_source("cifar10", split="train[:30]", data_dir=tfds_dir)
    for index in (0, 17, 29):
        (record,) = source.read([index])
        assert record.fields["label"] == reference[index]["label"]
        np.testing.assert_array_equal(decode(record.image, 3), reference[index]["image"])


def test_tfds_problems_are_named(tfds_dir):
    with pytest.raises(UsageError, match="it has train, test"):
        open_source(dataset("cifar10", data_dir=str(tfds_dir)), "validation")
    with pytest.raises(
        UsageError, match="no field 'label', which the task needs; its fields: boxes"
    ):
        open_source(dataset("bccd", data_dir=str(tfds_dir)), "train")


def config_of(**fields) -> ConfigDict:
    config = base.get_config()
    config.model.num_classes = fields.pop("num_classes", 0)
    config.dataset.update(fields)
    return config


@pytest.mark.parametrize(
    ("fields", "shape", "classes"),
    [
        ({"name": "digits"}, (8, 8, 3), 10),
        ({"name": "digits", "image_size": 16}, (16, 16, 3), 10),
        ({"name": "synthetic", "synthetic_classes": 7}, (32, 32, 3), 7),
        ({"name": "cifar100"}, (32, 32, 3), 100),
        ({"name": "fashion_mnist"}, (28, 28, 3), 10),
        ({"name": "synthetic", "image_size": (12, 20)}, (12, 20, 3), 10),
        ({"name": "cifar100", "image_size": (12, 20)}, (12, 20, 3), 100),
        ({"name": "imagenet2012", "image_size": 224}, (224, 224, 3), 1000),
        ({"name": "folder", "image_size": 64, "num_classes": 3}, (64, 64, 3), 3),
    ],
)
def test_shapes_are_known_without_prepared_data(tmp_path, monkeypatch, fields, shape, classes):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data.pictures(config_of(**fields)) == (shape, classes)


def test_shapes_of_a_folder_are_those_of_its_first_picture(folder):
    assert data.pictures(config_of(name="folder", data_dir=str(folder))) == ((6, 8, 3), 2)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "cifar1O"}, "Did you mean 'cifar10'"),
        ({"name": "cifar10", "num_classes": 7}, "num_classes is 7, but data set 'cifar10' has 10"),
        (
            {"name": "imagenet2012"},
            "not prepared.*set config.dataset.image_size and config.model.num_classes",
        ),
        ({"name": "folder", "data_dir": "/nowhere"}, "set config.dataset.image_size"),
    ],
)
def test_shapes_that_cannot_be_known_are_asked_for(tmp_path, monkeypatch, fields, message):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UsageError, match=message) as error:
        data.pictures(config_of(**fields))
    assert "\n" not in str(error.value)


def test_digits_are_read_as_scikit_learn_reads_them():
    bunch = load_digits()
    images, labels = digits.load()
    np.testing.assert_array_equal(images, bunch.images)
    np.testing.assert_array_equal(labels, bunch.target)


def set_of(name="own", **features):
    """What `tfds_sets` looks at of a builder."""
    import tensorflow_datasets as tfds

    info = SimpleNamespace(
        supervised_keys=None, features={"image": tfds.features.Image(), **features}
    )
    return SimpleNamespace(name=name, info=info)


def test_label_maps_of_which_tfds_tells_no_classes_are_declared_in_the_config():
    import tensorflow_datasets as tfds

    from chanattn.data.sources import tfds_sets

    grey = tfds.features.Image(shape=(None, None, 1))
    own = set_of(mask=grey)

    def found(builder, **fields):
        columns = tfds_sets._chosen(
            builder, "image", ["label_map"], dataset(builder.name, **fields)
        )
        return columns["label_map"]

    declared = found(own, class_names=("ground", "pet"), void=2)
    assert (declared.field, declared.class_names) == (Mask(2, 2), ("ground", "pet"))
    assert found(own, class_names=("ground", "pet")).field == Mask(2, None)
    labelled = tfds.features.LabeledImage(labels=["a", "b", "c"], shape=(None, None, 1))
    assert found(set_of(mask=labelled)).field == Mask(3, 255)
    assert found(set_of(mask=labelled), void=9).field == Mask(3, 9)
    for builder, fields, message in (
        (
            own,
            {},
            "label maps 'mask' of data set 'own' do not tell.*class_names to.*dataset.void to",
        ),
        (own, {"class_names": ("a", "b", "a")}, "names 'a' twice"),
        (own, {"class_names": ("a", "b"), "void": 1}, "void=1 is the class 'b'"),
        (
            set_of(mask=grey, depth=grey),
            {"class_names": ("a", "b")},
            "depth, mask.: choose another",
        ),
        (
            set_of(mask=labelled),
            {"class_names": ("a", "b")},
            "tells the classes.*a, b, c; void 255.*leave",
        ),
        (set_of("camvid", mask=grey), {"void": 255}, "'camvid' tells the classes.*void 11.*leave"),
        (set_of(), {}, "no field 'label_map', which the task needs; its fields: none"),
    ):
        with pytest.raises(UsageError, match=message) as error:
            found(builder, **fields)
        assert "\n" not in str(error.value)
    # Who learns from labels is not asked about label maps.
    both = set_of(label=tfds.features.ClassLabel(num_classes=2), mask=grey)
    assert set(tfds_sets._chosen(both, "image", ["label"], dataset("own"))) == {"label"}


def test_shapes_have_boxes_around_what_is_visible_of_the_same_pictures():
    d = dataset("shapes", image_size=32)
    source = open_source(d, "train[:200]", ["boxes"])
    assert source.class_names == ("circle", "square", "triangle", "cross", "ring")
    maps = open_source(d, "train[:200]", ["label_map"])
    assert maps.class_names == ("ground", *source.class_names)
    np.testing.assert_array_equal(source.indices, maps.indices)
    together = open_source(d, "train", ["label_map", "boxes"])
    assert together.class_names == maps.class_names
    pairs = zip(source.read(range(200)), maps.read(range(200)), strict=True)
    crowds = 0
    for index, (one, other) in enumerate(pairs):
        np.testing.assert_array_equal(one.image, other.image)
        boxes, label_map = one.fields["boxes"], other.fields["label_map"]
        assert 1 <= len(boxes.label) <= 2
        assert boxes.label[0] == source.indices[index] % 5
        crowds += sum(boxes.crowd)
        inside = np.zeros(label_map.shape, bool)
        for (x0, y0, x1, y1), label, area in zip(
            boxes.corners, boxes.label, boxes.area, strict=True
        ):
            part = label_map[y0:y1, x0:x1]
            inside[y0:y1, x0:x1] = True
            assert area <= part.size
            assert len(set(boxes.label)) < len(boxes.label) or (part == 1 + label).sum() <= area
            # Its border, which has no class in label maps, is the outermost pixel of the shape.
            for edge in (part[0], part[-1], part[:, 0], part[:, -1]):
                assert (edge != 0).any()
        assert (label_map[~inside] == 0).all()
    assert 0 < crowds < 20


def test_boxes_of_a_set_of_tfds_are_counted_when_it_is_opened():
    import tensorflow_datasets as tfds
    from tensorflow_datasets.proto import tf_example_pb2

    from chanattn.data.sources import tfds_sets

    objects = tfds.features.Sequence(
        {
            "bbox": tfds.features.BBoxFeature(),
            "label": tfds.features.ClassLabel(num_classes=2),
            "is_crowd": np.bool_,
            "area": np.int64,
        }
    )
    sides = {f"image/original_{side}": np.int64 for side in ("height", "width")}
    builder = set_of(objects=objects, **sides)

    def record(boxes, label, crowd, area):
        example = tf_example_pb2.Example()
        feature = example.features.feature
        feature["image"].bytes_list.value.append(b"picture")
        feature["objects/bbox"].float_list.value.extend(np.ravel(boxes))
        for name, values in {
            "objects/label": label,
            "objects/is_crowd": crowd,
            "objects/area": area,
            "image/original_height": [20],
            "image/original_width": [40],
        }.items():
            feature[name].int64_list.value.extend(values)
        return example.SerializeToString()

    boxes = [[0.1, 0.2, 0.5, 0.4], [0.3, 0.3, 0.3, 0.9], [-0.2, 0.1, 0.5, 0.5]]
    records = [record([], [], [], []), record(boxes, [1, 0, 1], [0, 0, 1], [80, 9, 9])]

    def opened(records, **fields):
        columns = tfds_sets._chosen(builder, "image", ["boxes"], dataset("own", **fields))
        source = tfds_sets.TfdsSplit(builder, records, "own/train", "image", columns, [])
        source.look_at_boxes()
        return source

    source = opened(records)
    assert source.objects == 2
    assert source.note == (
        "boxes left out: 1 without area (the first in own/train[1]); boxes cut off that reach beyond their "
        "picture: 1"
    )
    parts = source.fields["boxes"].load(
        source._parse(records[1]).fields["boxes"], Placement((10, 20), (10, 20))
    )
    np.testing.assert_allclose(parts[""][:2], [[4, 1, 8, 5], [2, 0, 10, 5]], rtol=1e-6)
    assert parts["_label"][:3].tolist() == [1, 1, -1]
    assert parts["_crowd"][:2].tolist() == [False, True]
    np.testing.assert_allclose(parts["_area"][:2], [20, 2.25])  # of a picture of twice the size
    with pytest.raises(UsageError, match=r"own/train\[1\] has 2 objects, more than.*most_boxes=1"):
        opened(records, most_boxes=1)
    assert opened(records[:1]).objects == 0


def test_shapes_need_room():
    with pytest.raises(UsageError, match="pictures of 8x8 pixels at least, not 5x90"):
        open_source(dataset("shapes", image_size=(5, 90)), "train", ["boxes"])


def test_shapes_never_change_and_show_every_class():
    source = open_source(dataset("shapes", image_size=24), "train[:20]", ["label_map"])
    again = open_source(dataset("shapes", image_size=24), "train[:20]", ["label_map"])
    for one, other in zip(source.read(range(20)), again.read(range(20)), strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.fields["label_map"], other.fields["label_map"])
    maps = [record.fields["label_map"] for record in source.read(range(20))]
    assert set(np.unique(maps)) == {*range(len(source.class_names)), 255}
    first = 1 + source.indices % 5  # no other shape covers it
    assert all(label in labels for label, labels in zip(first, maps, strict=True))
