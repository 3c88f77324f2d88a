"""Sets of TensorFlow Datasets, read without TensorFlow.

`tfds.data_source` reads array_record files at random positions; pictures are handed on encoded, so
that decoding happens where it can be done in parallel and at reduced size.

What a set declares is found by the types of its features: a `ClassLabel` is a label, a second picture whose
classes are known (a `LabeledImage`, one of a set of `LABEL_MAPS`, or as `dataset.class_names` says) a label
map, a sequence of `BBoxFeature` and `ClassLabel` boxes, and a sequence of `Text` captions.
"""

import contextlib
import dataclasses
import io
import os
import re
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow_datasets as tfds
from ml_collections import ConfigDict
from tensorflow_datasets.core.decode import DeserializeMethod
from tensorflow_datasets.proto import tf_example_pb2

from chanattn.data.captions import FIELD, Captions
from chanattn.data.fields import Boxes, Field, Label, Mask, StoredBoxes, too_many
from chanattn.data.source import ImageShape, Record, chosen
from chanattn.data.stored_boxes import sort_out
from chanattn.errors import UsageError, did_you_mean
from chanattn.paths import to_path

_LONGEST_REASON = 200  # characters
DEFAULT_DIR = "~/tensorflow_datasets"
#: Examples whose boxes are counted when a split is opened: those of a large set would take minutes to read.
_LOOKED_AT = 2000
_TOLD_SHARE = 0.01  # of a side: what a box in fractions may reach beyond its picture untold
_IGNORE = 255  # pixels without a class, where a set does not say otherwise


class LabelMap(NamedTuple):
    """What TFDS does not tell of label maps: the classes from 0 on, and the value of the other pixels."""

    class_names: tuple[str, ...]
    ignore: int | None = _IGNORE


#: By the name of the set.
LABEL_MAPS = {
    "camvid": LabelMap(  # the 11 classes and the void of SegNet (Badrinarayanan et al. 2017)
        (
            *("sky", "building", "pole", "road", "pavement", "tree", "sign_symbol", "fence", "car"),
            *("pedestrian", "bicyclist"),
        ),
        ignore=11,
    ),
}


def open_split(
    dataset: ConfigDict, split: str, fields: Sequence[str], other_names: tuple[str, ...] = ()
) -> "TfdsSplit":
    """Opens a split, in TFDS's own syntax (`train[:10%]+test`), of a prepared set.

    Args:
        dataset: `config.dataset`; `name` may carry a config and a version as TFDS writes them.
        split: The split.
        fields: Names of those that are needed.
        other_names: Names that are not TFDS's, to suggest when `name` is misspelt.

    Raises:
        UsageError: The set is unknown, not prepared, not in a random-access format, lacks a field, or has no
            such split; or the split is a part of a set that TFDS did not shuffle.
    """
    folders = data_dirs(dataset.data_dir)
    builder = _builder(dataset.name, folders, other_names)
    image = _image(builder)
    columns = _chosen(builder, image, fields, dataset)
    try:
        records = builder.as_data_source(
            split=split, deserialize_method=DeserializeMethod.RAW_BYTES
        )
    except ValueError as error:  # Unknown split or a slice out of range; the message says which.
        raise UsageError(
            f"split {split!r} of {dataset.name!r}: {' '.join(str(error).split())}; "
            f"it has {', '.join(builder.info.splits)}"
        ) from error
    if builder.info.disable_shuffling and "[" in split:
        raise UsageError(
            f"split {split!r} of {dataset.name!r}: the set is stored in the order in which it was made, so"
            f" that a part of it is no fair sample; take whole ones: {', '.join(builder.info.splits)}"
        )
    files = builder.info.splits[split].file_instructions
    parts = [(file.filename, range(file.skip, file.skip + file.take)) for file in files]
    source = TfdsSplit(builder, records, f"{dataset.name}/{split}", image, columns, parts)
    source.look_at_boxes()
    return source


def declared(
    dataset: ConfigDict, fields: Sequence[str], other_names: tuple[str, ...] = ()
) -> tuple[ImageShape, tuple[str, ...]]:
    """Shape of the pictures and names of the classes that TFDS knows, whether the set is prepared or not.

    Args:
        dataset: `config.dataset`.
        fields: As in `open_split`.
        other_names: As there.

    Returns:
        Height and width None where pictures differ; no names where only the prepared set has them.

    Raises:
        UsageError: The set is unknown or lacks a field.
    """
    builder = _builder(
        dataset.name, data_dirs(dataset.data_dir), other_names, must_be_prepared=False
    )
    image = _image(builder)
    columns = _chosen(builder, image, fields, dataset)
    return tuple(builder.info.features[image].shape), _class_names(columns)


def data_dirs(data_dir: str | os.PathLike[str]) -> list[Path]:
    """Where prepared sets are looked for: the folder given, else $TFDS_DATA_DIR, else TFDS's own."""
    if data_dir:
        return [to_path(data_dir)]
    folders = [DEFAULT_DIR]
    if os.environ.get("TFDS_DATA_DIR"):
        folders.insert(0, os.environ["TFDS_DATA_DIR"])
    return [to_path(folder) for folder in folders]


class TfdsSplit:
    """Pictures and fields of one split of a TFDS set."""

    def __init__(
        self,
        builder: Any,
        records: Any,
        name: str,
        image: str,
        columns: Mapping[str, "Column"],
        parts: list[tuple[str, range]],
    ):
        height, width, channels = builder.info.features[image].shape
        self.fields: Mapping[str, Field] = {name: column.field for name, column in columns.items()}
        self.class_names = _class_names(columns)
        self.image_shape: ImageShape = (height, width, channels)
        self.name = name
        self.note = ""
        self.absent: tuple[str, ...] = ()  # the labels have not been read
        self.objects: int | None = None
        self._parts = parts  # of the files
        self._records = records
        self._image = image
        self._readers = {name: column.reader for name, column in columns.items()}

    def __len__(self) -> int:
        return len(self._records)

    def look_at_boxes(self) -> None:
        """Counts the boxes, if it has such, and those that are none: of the first `_LOOKED_AT` examples.

        Raises:
            UsageError: A picture has more objects than there is room for.
        """
        field = self.fields.get("boxes")
        if not isinstance(field, Boxes):
            return
        number = min(len(self), _LOOKED_AT)
        boxes = [self._parse(self._records[i]).fields["boxes"] for i in range(number)]
        counts = [len(each.label) for each in boxes]
        example = np.repeat(np.arange(number), counts)
        corners = np.concatenate([np.zeros((0, 4), np.float32), *(each.corners for each in boxes)])
        found = sort_out(corners, (1.0, 1.0), _TOLD_SHARE)
        real = np.bincount(example[found.real], minlength=number)
        if number and (count := int(np.max(real))) > field.most:
            name = self.describe(int(np.argmax(real)))
            raise UsageError(f"{name} {too_many(count, field.most)}")
        dropped = example[~found.real]
        self.note = found.note(self.describe(int(dropped[0])) if len(dropped) else "")
        if number < len(self):
            self.note += f" (of the first {number:,} pictures)" if self.note else ""
            self.objects = int(real.sum()) or None
        else:
            self.objects = int(real.sum())

    def read(self, indices: Sequence[int]) -> list[Record | OSError]:
        """See `Readable.read`."""
        return list(map(self._parse, self._records.__getitems__(list(indices))))

    def _parse(self, record: bytes) -> Record:
        # The features wanted, straight from the stored `tf.train.Example`: TFDS's own parser looks at all of
        # them and takes three times as long as decoding a small JPEG.
        features = tf_example_pb2.Example.FromString(record).features.feature
        (image,) = features[self._image].bytes_list.value
        return Record(image, {name: read(features) for name, read in self._readers.items()})

    def captions_of(self, index: int) -> Sequence[str]:
        """See `chanattn.data.captions.Described`."""
        found: Sequence[str] = self._parse(self._records[index]).fields[FIELD]
        return found

    def describe(self, index: int) -> str:
        """See `Readable.describe`."""
        return f"{self.name}[{index}]"

    def places(self) -> Iterator[Hashable]:
        """See `Source.places`."""
        for file, positions in self._parts:
            for position in positions:
                yield file, position


def _builder(
    name: str, folders: list[Path], other_names: tuple[str, ...], *, must_be_prepared: bool = True
) -> Any:
    """The builder from the first folder that holds the set in a readable form."""
    tried = []
    for folder in folders:
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # TFDS prints a page on TensorFlow
                builder = tfds.builder(name, data_dir=folder)
        except tfds.core.registered.DatasetNotFoundError as error:
            valid = [*other_names, *tfds.list_builders(with_community_datasets=False)]
            raise UsageError(
                f"unknown data set {name!r}: neither one of {', '.join(other_names)} nor of TFDS."
                f"{did_you_mean(name, valid)}"
            ) from error
        except ImportError as error:
            raise UsageError(
                f"data set {name!r} needs a package that is not installed ({_absent(error)}): pip install it,"
                " or choose another set"
            ) from error
        except (ValueError, AssertionError) as error:  # Unknown config or version of a known set.
            raise UsageError(
                f"data set {name!r} is written as NAME, NAME/CONFIG or NAME/CONFIG:VERSION; TFDS says of it: "
                f"{_reason(error)}"
            ) from error
        tried.append(str(builder.data_path))
        if builder.info.splits:
            _check_format(builder, name)
            return builder
    if not must_be_prepared:
        return builder
    raise UsageError(
        f"data set {name!r} is not prepared: looked in {' and '.join(tried)}; prepare it with "
        f"`python -m chanattn.data.prepare {name}` or set config.dataset.data_dir or $TFDS_DATA_DIR"
    )


def _absent(error: BaseException) -> str:
    """The module that an import wanted: TFDS wraps the error, and the name is lost in that."""
    while isinstance(error.__cause__, ImportError):
        error = error.__cause__
    return getattr(error, "name", None) or str(error)


def _reason(error: BaseException) -> str:
    """What TFDS says, in one line, without the arguments that it was given and the list of all configs."""
    first = str(error).partition("\n")[0].partition(" Here are ")[0]
    return re.sub(r"^Failed to construct dataset .*?}\": ", "", first)[:_LONGEST_REASON]


def _check_format(builder: Any, name: str) -> None:
    if builder.info.file_format.name != "ARRAY_RECORD":
        raise UsageError(
            f"data set {name!r} in {builder.data_path} is stored as "
            f"{builder.info.file_format.value}, which cannot be read at random positions: prepare it "
            f"elsewhere as array_record with `python -m chanattn.data.prepare {name} --data_dir=...`"
        )


class Reader(Protocol):
    """Reads the stored value of a field; picklable."""

    def __call__(self, features: Any) -> Any:
        """The value, from the features of a `tf.train.Example` by name."""


class Column(NamedTuple):
    """A field of a set: its kind, how it is read, and the names of its classes."""

    field: Field
    reader: Reader
    class_names: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class _Number:
    feature: str

    def __call__(self, features: Any) -> int:
        (value,) = features[self.feature].int64_list.value
        return value


@dataclasses.dataclass(frozen=True)
class _Bytes:
    feature: str

    def __call__(self, features: Any) -> bytes:
        (value,) = features[self.feature].bytes_list.value
        return value


@dataclasses.dataclass(frozen=True)
class _Objects:
    box: str
    label: str
    crowd: str | None
    area: str | None
    size: tuple[str, ...] | None

    def __call__(self, features: Any) -> StoredBoxes:
        box = np.array(features[self.box].float_list.value, np.float32).reshape(-1, 4)
        label = features[self.label].int64_list.value
        crowd = features[self.crowd].int64_list.value if self.crowd else None
        area, size = None, None
        if self.area:
            area = features[self.area].int64_list.value or features[self.area].float_list.value
        if self.size:
            height, width = (features[name].int64_list.value[0] for name in self.size)
            size = height, width
        # From ymin, xmin, ymax, xmax.
        return StoredBoxes(box[:, [1, 0, 3, 2]], label, crowd, True, area, size)


@dataclasses.dataclass(frozen=True)
class _Texts:
    feature: str

    def __call__(self, features: Any) -> list[str]:
        return [text.decode(errors="replace") for text in features[self.feature].bytes_list.value]


def _image(builder: Any) -> str:
    """Name of the picture."""
    features = builder.info.features
    image = (builder.info.supervised_keys or ("image",))[0]
    if (
        image in features
        and isinstance(features[image], tfds.features.Image)
        and features[image].shape[-1] in (1, 3)
    ):
        return image
    raise UsageError(
        f"data set {builder.name!r} is not one of pictures: it needs a picture, and has {', '.join(features)}"
    )


def _chosen(
    builder: Any, image: str, fields: Sequence[str], dataset: ConfigDict
) -> dict[str, Column]:
    set_name = dataset.name
    columns = dict(_columns(builder, image, dataset))
    if "label_map" in fields or _labelled(builder, image):
        columns |= _label_map(builder, image, dataset)
    wanted = chosen({name: column.field for name, column in columns.items()}, fields, set_name)
    return {name: columns[name] for name in wanted}


def _class_names(columns: Mapping[str, Column]) -> tuple[str, ...]:
    """Of the first field that has classes."""
    return next((column.class_names for column in columns.values() if column.class_names), ())


def _columns(builder: Any, image: str, dataset: ConfigDict) -> Iterator[tuple[str, Column]]:
    """All fields of a set, by the names under which tasks ask for them."""
    features = builder.info.features
    label = (builder.info.supervised_keys or ("image", "label"))[-1]
    if label not in features or not isinstance(features[label], tfds.features.ClassLabel):
        label = "label"
    for name, feature in sorted(features.items()):
        if isinstance(feature, tfds.features.ClassLabel) and name == label:
            names = tuple(feature.names or ())
            yield "label", Column(Label(feature.num_classes), _Number(name), names)
        elif isinstance(feature, tfds.features.Sequence):
            original = tuple(f"{image}/original_{side}" for side in ("height", "width"))
            size = original if all(part in features for part in original) else None
            yield from _sequence(name, feature.feature, dataset, size)


def _label_map(builder: Any, image: str, dataset: ConfigDict) -> dict[str, Column]:
    """The column `label_map`, if there is a feature for it, with what the config declares of it.

    Raises:
        UsageError: Nobody tells the classes, or the config does beside the set; or several features may be
            the label map.
    """
    names = _labelled(builder, image) or _pictures_of_one_channel(builder, image)
    if not names:
        return {}
    if len(names) > 1:
        raise UsageError(
            f"data set {dataset.name!r} has several pictures that may be label maps ({', '.join(names)}): "
            "choose another config of it"
        )
    (name,) = names
    feature, void = builder.info.features[name], dataset.void
    about = LABEL_MAPS.get(builder.name)
    if about is None and isinstance(feature, tfds.features.LabeledImage):
        own = tuple(feature.names or map(str, range(feature.num_classes)))
        about = LabelMap(own, void if void >= 0 else _IGNORE)
        void = -1
    if about is None:
        if not dataset.class_names:
            raise UsageError(
                f"the label maps {name!r} of data set {dataset.name!r} do not tell their classes: set "
                "config.dataset.class_names to the names of the values 0, 1, ..., and config.dataset.void to "
                "the value of pixels without a class, if there are such"
            )
        about = LabelMap(tuple(dataset.class_names), None if void < 0 else void)
        _check_declared(about)
    elif dataset.class_names or void >= 0:
        told = ", ".join(about.class_names)
        raise UsageError(
            f"data set {dataset.name!r} tells the classes of its label maps ({told}; void {about.ignore}): "
            "leave config.dataset.class_names and config.dataset.void out"
        )
    field = Mask(len(about.class_names), about.ignore)
    return {"label_map": Column(field, _Bytes(name), about.class_names)}


def _check_declared(about: LabelMap) -> None:
    names, void = about
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise UsageError(
            f"config.dataset.class_names names {name!r} twice: give each class its own name"
        )
    if void is not None and void < len(names):
        raise UsageError(
            f"config.dataset.void={void} is the class {names[void]!r} of config.dataset.class_names: void is "
            "no class, and another value"
        )


def _labelled(builder: Any, image: str) -> list[str]:
    """Names of the features that are declared as label maps."""
    features = builder.info.features.items()
    labelled = [n for n, f in features if isinstance(f, tfds.features.LabeledImage) and n != image]
    return labelled or (
        _pictures_of_one_channel(builder, image) if builder.name in LABEL_MAPS else []
    )


def _pictures_of_one_channel(builder: Any, image: str) -> list[str]:
    """Names of the features beside the picture that can be label maps."""
    return [
        name
        for name, feature in sorted(builder.info.features.items())
        if isinstance(feature, tfds.features.Image) and name != image and feature.shape[-1] == 1
    ]


def _sequence(
    name: str, items: Any, dataset: ConfigDict, size: tuple[str, ...] | None
) -> Iterator[tuple[str, Column]]:
    parts = dict(items.items()) if isinstance(items, tfds.features.FeaturesDict) else {}
    boxes = [part for part, feature in parts.items() if _is_box(feature)]
    texts = [part for part, feature in parts.items() if isinstance(feature, tfds.features.Text)]
    label = parts.get("label")
    if len(boxes) == 1 and isinstance(label, tfds.features.ClassLabel):
        crowd = f"{name}/is_crowd" if "is_crowd" in parts else None
        area = f"{name}/area" if "area" in parts else None
        reader = _Objects(f"{name}/{boxes[0]}", f"{name}/label", crowd, area, size)
        field = Boxes(label.num_classes, dataset.most_boxes)
        yield "boxes", Column(field, reader, tuple(label.names or ()))
    elif isinstance(items, tfds.features.Text) or texts:
        place = f"{name}/{texts[0]}" if texts else name
        yield "captions", Column(Captions(), _Texts(place), ())


def _is_box(feature: Any) -> bool:
    """Whether it is a box in the form that nearly all sets of TFDS have: ymin, xmin, ymax, xmax in [0, 1]."""
    if not isinstance(feature, tfds.features.BBoxFeature):
        return False
    return getattr(feature.bbox_format, "value", "REL_YXYX") == "REL_YXYX"
