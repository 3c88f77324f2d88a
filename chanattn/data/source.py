"""What a data set is to the rest of the package: records that can be read in any order."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from chanattn.data.decode import CorruptImage
from chanattn.data.fields import Field, Label, WrongValue
from chanattn.errors import UsageError


class Record(NamedTuple):
    """One example as stored: an encoded picture (JPEG, PNG, ...) or pixels (H, W, C) uint8, and its fields.

    Attributes:
        fields: The stored value of each field by its name, in the form that its kind takes.
    """

    image: bytes | np.ndarray
    fields: Mapping[str, Any]


#: Height, width (None where pictures differ or where nobody has looked) and channels, 1 or 3.
ImageShape = tuple[int | None, int | None, int]


class Readable(Protocol):
    """Records by position. Picklable, because worker processes receive a copy of it.

    Attributes:
        fields: What a record holds beside the picture, by name.
        class_names: Of the classes of labels, pixels or boxes: of the first field that was asked for.
        image_shape: Of the stored pictures.
    """

    fields: Mapping[str, Field]
    class_names: tuple[str, ...]
    image_shape: ImageShape

    def __len__(self) -> int:
        """Number of examples."""

    def read(self, indices: Sequence[int]) -> list[Record | OSError]:
        """The records at these positions; an `OSError` in place of one that cannot be read."""

    def describe(self, index: int) -> str:
        """The file, or the place within the data set, of a record: for messages about it."""


class Source(Readable, Protocol):
    """What can be trained or evaluated on: a split of a data set, or a part of one.

    Its `fields` are those that were asked for; the records may hold more.

    Attributes:
        note: What was passed over when it was opened, for the user; empty if nothing was.
        absent: Names of classes that the whole split has and this part has not, where that is known.
        objects: How many of them the pictures show; None where there are no boxes, or nobody has counted.
    """

    note: str
    absent: tuple[str, ...]
    objects: int | None

    def places(self) -> Iterator[Hashable]:
        """Where each example lies: two sources share those examples whose places are equal."""


def annotations(source: Source) -> Iterator[dict[str, Any]]:
    """The stored values of the fields of every example that can be read, decoded.

    Raises:
        UsageError: A field cannot hold what is stored.
    """
    for index in range(len(source)):
        (record,) = source.read([index])
        if isinstance(record, Record):
            try:
                kinds = source.fields.items()
                found = {name: kind.stored(record.fields.get(name)) for name, kind in kinds}
            except WrongValue as error:
                raise UsageError(f"{source.describe(index)} {error}") from error
            except CorruptImage:
                continue
            yield found


class Whole(Readable, Protocol):
    """A whole split of which the labels are known without reading it, so that it can be cut into fair parts.

    Attributes:
        note: As in `Source`.
        labels: (N,) of the examples.
        objects: (N,) how many each example has; None as in `Source`.
    """

    note: str
    labels: np.ndarray
    objects: np.ndarray | None

    @property
    def names(self) -> Sequence[object]:
        """What tells the examples apart on every machine (`chanattn.data.split`)."""

    def place(self, index: int) -> Hashable:
        """As in `Source.places`."""


class Shuffled:
    """A source in a random order.

    Attributes:
        order: The position in the source of each record here, (N,).
    """

    def __init__(self, source: Source, seed: int) -> None:
        self.source = source
        self.order = np.random.default_rng(seed).permutation(len(source))
        self.fields, self.class_names = source.fields, source.class_names
        self.image_shape, self.note = source.image_shape, source.note
        self.absent, self.objects = source.absent, source.objects

    def __len__(self) -> int:
        return len(self.order)

    def read(self, indices: Sequence[int]) -> list[Record | OSError]:
        """See `Readable.read`."""
        return self.source.read(self.order[list(indices)].tolist())

    def describe(self, index: int) -> str:
        """See `Readable.describe`."""
        return self.source.describe(int(self.order[index]))

    def places(self) -> Iterator[Hashable]:
        """See `Source.places`."""
        places = list(self.source.places())
        return (places[index] for index in self.order)


class Subset:
    """Some of the records of a whole split, in the order given by `indices`."""

    def __init__(
        self, whole: Whole, indices: Sequence[int] | np.ndarray, fields: Mapping[str, Field]
    ):
        self.whole = whole
        self.fields = fields
        self.indices = np.asarray(indices, np.int64)
        self.class_names = whole.class_names
        self.image_shape = whole.image_shape
        self.note = whole.note
        lost = np.setdiff1d(whole.labels, whole.labels[self.indices])
        self.absent = tuple(self.class_names[label] for label in lost) if self.class_names else ()
        counts = whole.objects
        self.objects = None if counts is None else int(counts[self.indices].sum())

    def __len__(self) -> int:
        return len(self.indices)

    def read(self, indices: Sequence[int]) -> list[Record | OSError]:
        """See `Readable.read`."""
        return self.whole.read(self.indices[list(indices)].tolist())

    def describe(self, index: int) -> str:
        """See `Readable.describe`."""
        return self.whole.describe(int(self.indices[index]))

    def captions_of(self, index: int) -> Sequence[str]:
        """See `chanattn.data.captions.Described`."""
        whole: Any = self.whole  # one with captions, or nobody asks
        found: Sequence[str] = whole.captions_of(int(self.indices[index]))
        return found

    def places(self) -> Iterator[Hashable]:
        """See `Source.places`."""
        return map(self.whole.place, self.indices.tolist())


class ArraySource:
    """A whole split in memory: images (N, H, W, C) uint8 and labels (N,)."""

    note = ""
    objects: np.ndarray | None = None

    def __init__(
        self, images: np.ndarray, labels: np.ndarray, class_names: Sequence[str], name: str
    ):
        self.images = images
        self.labels = labels
        self.names = range(len(images))
        self.class_names = tuple(class_names)
        self.fields: Mapping[str, Field] = {"label": Label(len(class_names))}
        self.image_shape: ImageShape = images.shape[1:]
        self.name = name

    def __len__(self) -> int:
        return len(self.images)

    def read(self, indices: Sequence[int]) -> list[Record | OSError]:
        """See `Readable.read`."""
        return [Record(self.images[i], {"label": int(self.labels[i])}) for i in indices]

    def describe(self, index: int) -> str:
        """See `Readable.describe`."""
        return f"{self.name}[{index}]"

    def place(self, index: int) -> Hashable:
        """See `Whole.place`."""
        return self.name, index


def chosen(
    available: Mapping[str, Field], names: Sequence[str], set_name: str, fix: str = ""
) -> dict[str, Field]:
    """The fields of these names, in that order; `fix` is how the set could have others, for the message.

    Raises:
        UsageError: The data set, of the name `set_name`, has no such field.
    """
    absent = [name for name in names if name not in available]
    if absent:
        has = ", ".join(sorted(available)) or "none"
        raise UsageError(
            f"data set {set_name!r} has no field {absent[0]!r}, which the task needs; its fields: {has}"
            + (f": {fix}" if fix else "")
        )
    return {name: available[name] for name in names}
