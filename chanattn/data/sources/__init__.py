"""Where pictures come from. A new data set is one file here and one line in `SOURCES`."""

from collections.abc import Callable, Sequence

from ml_collections import ConfigDict

from chanattn.data import split as splits
from chanattn.data.fields import Label, Mask
from chanattn.data.source import Source, Subset, Whole, chosen
from chanattn.data.sources import digits, folder_label_maps, folders, shapes, synthetic
from chanattn.errors import UsageError

#: Name -> function of (config.dataset, split name without slice, names of the fields that are needed). Every
#: other name is one of TFDS.
SOURCES: dict[str, Callable[[ConfigDict, str, Sequence[str]], Whole]] = {
    "digits": digits.open_split,
    "folder": folders.open_split,
    "shapes": shapes.open_split,
    "synthetic": synthetic.open_split,
}


def open_source(dataset: ConfigDict, split: str, fields: Sequence[str] = ("label",)) -> Source:
    """Opens one split of the data set that `config.dataset` describes.

    Args:
        dataset: `config.dataset`; `name`, `data_dir` and the fields of `synthetic` are read.
        split: A name with an optional slice, such as `train[:1000]`; what a part holds is said in
            `chanattn.data.split`.
        fields: Names of those that are needed of its examples.

    Raises:
        UsageError: Unknown data set or split, its files or a field are absent, or there is a single class,
            with which only boxes leave something to learn.
    """
    if dataset.name in SOURCES:
        _refuse_declarations(dataset)
        part = splits.parse(split)
        whole = SOURCES[dataset.name](dataset, part.name, fields)
        fix = folder_label_maps.LAYOUTS if dataset.name == "folder" else ""
        needed = chosen(whole.fields, fields, dataset.name, fix)
        source: Source = Subset(whole, part.members(whole.labels, whole.names), needed)
    else:
        from chanattn.data.sources import tfds_sets  # takes a while, so only when it is wanted

        source = tfds_sets.open_split(dataset, split, fields, other_names=tuple(SOURCES))
    if len(source) == 0:
        raise UsageError(f"split {split!r} of data set {dataset.name!r} holds no examples")
    told_apart = any(isinstance(field, Label | Mask) for field in source.fields.values())
    if told_apart and len(source.class_names) == 1:
        raise UsageError(
            f"data set {dataset.name!r} has a single class, {source.class_names[0]!r}, so that there is"
            " nothing to tell apart: choose another set"
        )
    return source


def _refuse_declarations(dataset: ConfigDict) -> None:
    """What is declared for sets of TFDS alone."""
    if dataset.class_names or dataset.void >= 0:
        where = folder_label_maps.CLASSES if dataset.name == "folder" else "the data set itself"
        raise UsageError(
            "config.dataset.class_names and config.dataset.void are for sets of TFDS that do not tell the "
            f"classes of their label maps; of {dataset.name!r} {where} does: leave them out"
        )
