"""Chooses how a data set reaches the devices: kept in their memory, or streamed."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from chanattn.config import FIELDS
from chanattn.data import stream
from chanattn.data.batches import example_bytes, stored_shape
from chanattn.data.captions import FIELD, with_own_vocabulary, with_vocabulary
from chanattn.data.decode import CorruptImage, Decoding, decode
from chanattn.data.evaluation_data import EvaluationData
from chanattn.data.fields import PLACE, Whereabouts
from chanattn.data.fit import Fit, image_size
from chanattn.data.source import ImageShape, Record, Shuffled, Source
from chanattn.data.sources import SOURCES, open_source
from chanattn.data.training_data import DeviceTrainingData, StreamedTrainingData, TrainingData
from chanattn.errors import UsageError

#: `loader = auto` keeps a split on the devices if its pictures, as uint8, and fields take no more on each.
DEVICE_BYTES = 2 * 2**30


def training(config: ConfigDict, mesh: Mesh, fields: Sequence[str] = ("label",)) -> TrainingData:
    """The training split `config.dataset.split`, batches of `config.batch_size`.

    Args:
        config: The whole config (`chanattn.config`).
        mesh: Devices, with an axis `data` over which batches are split.
        fields: Names of what is needed beside the pictures.

    Raises:
        UsageError: The set is absent or unknown, lacks a field, has another number of classes than
            `config.model.num_classes`, has fewer examples than a batch, the batch does not divide over the
            devices, pictures differ in size while `dataset.image_size` is 0, or a field cannot follow an
            augmentation.
    """
    source = _open(config, config.dataset.split, fields)
    random = config.dataset.augment.random_resized_crop
    fit = _fit(config.dataset, source, random=random)
    if random and config.dataset.loader == "device":
        raise UsageError(
            "config.dataset.augment.random_resized_crop works on streamed data: set "
            "config.dataset.loader=stream, or use augment.pad_crop"
        )
    if not random and _on_device(config.dataset, source, fit):
        return DeviceTrainingData(config, mesh, source, fit)
    return StreamedTrainingData(config, mesh, source, fit)


def on_device(config: ConfigDict, fields: Sequence[str] = ("label",)) -> int:
    """How many examples `training` would keep in the device's memory: 0 if it would stream, or find none.

    Args:
        config: The whole config.
        fields: As in `training`.
    """
    if config.dataset.augment.random_resized_crop:
        return 0
    try:
        source = _open(config, config.dataset.split, fields)
        fit = _fit(config.dataset, source, random=False)
    except UsageError:
        return 0
    return len(source) if _on_device(config.dataset, source, fit) else 0


def evaluation(
    config: ConfigDict,
    mesh: Mesh,
    split: str | None = None,
    batch_size: int | None = None,
    fields: Sequence[str] = ("label",),
    whereabouts: bool = False,
    words: Sequence[str] = (),
    order_seed: int | None = None,
) -> EvaluationData:
    """The split `split` (default `config.dataset.eval_split`), every example once.

    Args:
        config: The whole config; `dataset` may be another than in training.
        mesh: Devices, with an axis `data`.
        split: Name and slice.
        batch_size: Default `config.batch_size`; rounded up to a multiple of the devices.
        fields: As in `training`.
        whereabouts: Whether batches tell, in `whereabouts` (B, 6), where each picture lies in the one that
            the network sees (`chanattn.data.fields.Whereabouts`).
        words: Of captions, the names of the classes of the training (`chanattn.data.vocabulary`), by which
            they are told; empty: those of the training split are counted.
        order_seed: Of a random order of the examples (`chanattn.data.source.Shuffled`); None: they come in
            that of the split.

    Raises:
        UsageError: As `training`, but for the batch size.
    """
    source = _open(config, split or config.dataset.eval_split, fields, words)
    if whereabouts:
        source.fields = {**source.fields, PLACE: Whereabouts(keep_whole=False)}
    fit = _fit(config.dataset, source, random=False)
    if order_seed is not None:
        source = Shuffled(source, order_seed)
    return EvaluationData(
        config,
        mesh,
        source,
        fit,
        batch_size=batch_size or config.batch_size,
        keep=_on_device(config.dataset, source, fit),
    )


@dataclasses.dataclass(frozen=True)
class Outline:
    """What is known of a split before its pictures are read.

    Attributes:
        source: where the examples come from.
        num_examples: in the split, corrupt ones included.
        num_classes, class_names: of its data set.
        image_shape: (H, W, 3) of a batch's images.
    """

    source: Source
    num_examples: int
    num_classes: int
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]


def outline(
    config: ConfigDict, split: str, fields: Sequence[str] = ("label",), words: Sequence[str] = ()
) -> Outline:
    """Opens a split of the data set of a config, and reads at most one picture of it.

    Args:
        config: The whole config.
        split: Name and slice.
        fields: As in `training`.
        words: As in `evaluation`.

    Raises:
        UsageError: As `training`, but for the batch size.
    """
    source = _open(config, split, fields, words)
    height, width, _ = _fit(config.dataset, source, random=False).shape
    names = source.class_names
    return Outline(source, len(source), len(names), names, (height, width, 3))


def check_splits(config: ConfigDict, train: Source, test: Source) -> None:
    """Refuses a training split of `config.dataset` that makes no sense beside the evaluation split.

    Raises:
        UsageError: They share pictures, and `dataset.allow_overlap` is False; or the training split is a part
            without any picture of some class, or shows no object at all.
    """
    dataset = config.dataset
    if train.objects == 0:
        raise UsageError(
            f"the {len(train):,} pictures of config.dataset.split={dataset.split} show no objects, so that "
            "there is nothing to learn: choose another split, or mend its annotations"
        )
    if train.absent:
        named = ", ".join(train.absent[:3]) + (", ..." if len(train.absent) > 3 else "")
        raise UsageError(
            f"config.dataset.split={dataset.split} holds no picture of {len(train.absent)} of the "
            f"{len(train.class_names)} classes ({named}): take a larger part, from the beginning, such as "
            "train[:90%]"
        )
    count = 0 if dataset.allow_overlap else shared(train, test)
    if count:
        raise UsageError(
            f"{count:,} of the {len(test):,} pictures of config.dataset.eval_split={dataset.eval_split} are "
            f"trained on too, as config.dataset.split={dataset.split} holds them: take parts such as "
            "train[:90%] and train[90%:], or set config.dataset.allow_overlap=true"
        )


def check_shared_memory(train: TrainingData, test: EvaluationData) -> None:
    """Raises UsageError unless there is shared memory for the workers of both, which run side by side."""
    stream.check_shared_memory(train.shared_memory + test.shared_memory)


def shared(one: Source, other: Source) -> int:
    """How many examples of `other` are in `one` too, however the two splits are written."""
    places = set(one.places())
    return sum(place in places for place in other.places())


class Pictures(NamedTuple):
    """What a network is given: (H, W, 3), and among how many classes it chooses."""

    image_shape: tuple[int, int, int]
    num_classes: int


def pictures(config: ConfigDict, fields: Sequence[str] = ("label",)) -> Pictures:
    """What the network of a config is given, found out with as little of the data as possible.

    None is needed if `dataset.image_size` and `model.num_classes` say it, nor for a set of TFDS whose
    pictures have one size.

    Args:
        config: The whole config.
        fields: As in `training`.

    Raises:
        UsageError: The set is unknown, lacks a field or has another number of classes than
            `config.model.num_classes`, or the data would have to be looked at and is absent.
    """
    dataset, classes = config.dataset, config.model.num_classes
    size = image_size(dataset.image_size)
    if size and classes:
        return Pictures((*size, 3), classes)
    if dataset.name not in SOURCES:
        from chanattn.data.sources import tfds_sets

        (height, width, _), names = tfds_sets.declared(dataset, fields, tuple(SOURCES))
        height, width = size or (height, width)
        if height and width and names:
            check_num_classes(config, names)
            return Pictures((height, width, 3), len(names))
    try:
        source = _worded(config, dataset.split, fields)
    except UsageError as error:
        raise UsageError(
            f"{error}. Without the data, say what the pictures are: set config.dataset.image_size"
            " and config.model.num_classes"
        ) from error
    check_num_classes(config, source.class_names)
    height, width, _ = _fit(dataset, source, random=False).shape
    return Pictures((height, width, 3), len(source.class_names))


class Stored(NamedTuple):
    """What the pictures of a data set are before they are brought to one size, and its classes.

    Attributes:
        shape: Height and width None where pictures differ.
        class_names: In the order of the labels.
    """

    shape: ImageShape
    class_names: tuple[str, ...]


def stored(config: ConfigDict, fields: Sequence[str] = ("label",)) -> Stored:
    """What the data set of a config holds, found out with as little of the data as possible.

    Raises:
        UsageError: As `evaluation`, if the data must be looked at.
    """
    dataset = config.dataset
    if dataset.name not in SOURCES:
        from chanattn.data.sources import tfds_sets

        shape, names = tfds_sets.declared(dataset, fields, tuple(SOURCES))
        if names and (image_size(dataset.image_size) or None not in shape):
            return Stored(shape, names)
    source = _open(config, dataset.eval_split, fields)
    fit = _fit(dataset, source, random=False)
    return Stored(stored_shape(source, fit), source.class_names)


def fit_of_any_size(dataset: ConfigDict, source: Source) -> Fit:
    """How an evaluation brings pictures to one size, for pictures that may have another than its own.

    Args:
        dataset: `config.dataset`.
        source: Pictures, with the `image_shape` of those of the evaluation (`stored`).
    """
    return dataclasses.replace(_fit(dataset, source, random=False), resize=True)


def check_num_classes(config: ConfigDict, class_names: tuple[str, ...]) -> None:
    """Raises UsageError if `config.model.num_classes` is set and is not the data set's number."""
    wanted = config.model.num_classes
    if wanted and wanted != len(class_names):
        raise UsageError(
            f"config.model.num_classes is {wanted}, but data set {config.dataset.name!r} has "
            f"{len(class_names)} classes: set it to {len(class_names)}, or to 0 for as many as there are"
        )


def _open(
    config: ConfigDict, split: str, fields: Sequence[str], words: Sequence[str] = ()
) -> Source:
    """A split with the fields needed, which can follow the augmentations and have the classes expected."""
    source = _worded(config, split, fields, words)
    learnt = [field.kind for field in source.fields.values()]
    for name, value in config.dataset.augment.items():
        path = f"dataset.augment.{name}"
        mistake = FIELDS[path].misplaced(path, value, config.task.name, learnt)
        if mistake:
            raise UsageError(f"config.{mistake}")
    check_num_classes(config, source.class_names)
    return source


def _worded(
    config: ConfigDict, split: str, fields: Sequence[str], words: Sequence[str] = ()
) -> Source:
    """A split, whose captions, if it has such, have numbers: see `evaluation`."""
    dataset = config.dataset
    source = open_source(dataset, split, fields)
    if FIELD not in source.fields:
        return source
    if not words and split == dataset.split:
        with_own_vocabulary(source, dataset)
        return source
    words = words or _worded(config, dataset.split, fields).class_names
    with_vocabulary(source, dataset, split, words)
    return source


def _fit(dataset: ConfigDict, source: Source, random: bool) -> Fit:
    """How stored pictures come to one size.

    Where all are known to have one size, they are resized whole; else the centre is taken of those that do
    not have the size asked for (`augment.eval_crop`), unless a field must be kept whole: then all pictures
    are, padded with the mean colour. So the loader has no influence on what the network sees.
    """
    height, width, channels = source.image_shape
    size = image_size(dataset.image_size)
    mean = np.clip(np.rint(255 * np.array(dataset.mean)), 0, 255).astype(int).tolist()
    fit = Fit(
        (*(size or (0, 0)), channels),
        resize=bool(size) or random,
        random=random,
        letterbox=any(field.keep_whole for field in source.fields.values()),
        fill=tuple(mean[:channels]),
    )
    if size:
        crop = 1.0 if height and width else dataset.augment.eval_crop
        return dataclasses.replace(fit, crop=crop)
    if height is None or width is None:
        height, width = _size_of_first(source)
    return dataclasses.replace(fit, shape=(height, width, channels))


def _size_of_first(source: Source) -> tuple[int, int]:
    """(height, width) of the first readable picture."""
    for index in range(len(source)):
        (record,) = source.read([index])
        if not isinstance(record, Record):
            continue
        if not isinstance(record.image, bytes):
            return record.image.shape[0], record.image.shape[1]
        try:
            with Decoding():
                return decode(record.image, 3).shape[:2]
        except CorruptImage:
            continue
    raise UsageError(
        f"none of the {len(source)} pictures can be read, from {source.describe(0)} on"
    )


def _on_device(dataset: ConfigDict, source: Source, fit: Fit) -> bool:
    if dataset.loader != "auto":
        return dataset.loader == "device"
    return len(source) * example_bytes(source, fit) <= DEVICE_BYTES
