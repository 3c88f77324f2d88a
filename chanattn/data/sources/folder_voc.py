"""Folders of pictures with boxes in the XML of Pascal VOC.

Two layouts:

* That of the devkit: `root/ImageSets/Main/SPLIT.txt` lists names, one a line, of `root/Annotations/NAME.xml`
  and `root/JPEGImages/NAME.jpg`.
* `root/SPLIT/NAME.xml` beside `root/SPLIT/NAME.jpg`, folders within included. A picture without XML shows no
  objects.

Pictures may be of any format. They have the names of the XML files; `filename` is not looked at, as many
tools write it wrongly.

Corners are numbers of pixels from 1 on, the last one included: `VOCevaldet.m` of the devkit takes
`x2 - x1 + 1` for the width of a box. So a box lies from `xmin - 1` to `xmax`, and one of xmin 1 and xmax W
covers the whole picture. Detectron2 has it so, too. A tool that counts from 0 gives boxes that are a pixel
too large at the left and at the top.

Objects that are `difficult` become crowds: VOC's evaluation neither expects nor punishes that they are found,
and that is how COCO's treats crowds. The classes are those of `root/classes.txt`, one a line, or of
`root/classes.json`; if there is neither, the names in all XML files of all splits, in alphabetical order.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from ml_collections import ConfigDict

from chanattn.data.sources import folder
from chanattn.data.sources.folder_boxes import (
    NAMES,
    BoxesFolder,
    Object,
    check_names,
    check_pixels,
    class_names,
    paired,
    stem,
    text_of,
)
from chanattn.errors import UsageError, some

_SETS, _XML, _PICTURES = "ImageSets/Main", "Annotations", "JPEGImages"
_SUFFIX = ".xml"


class Annotation(NamedTuple):
    """What an XML file says.

    Attributes:
        size: (height, width) of the picture; (0, 0): it does not say.
        objects: name of the class, corners and whether it is difficult, of each.
    """

    size: tuple[int, int]
    objects: list[tuple[str, tuple[float, float, float, float], bool]]


def open_split(dataset: ConfigDict, root: Path, split: str) -> BoxesFolder | None:
    """The split of a folder of this layout; None if it has another.

    Raises:
        UsageError: A file is damaged or says what cannot be, or pictures or annotations are absent.
    """
    if (listed := root / _SETS / f"{split}.txt").is_file():
        place, below, files = _listed(root, listed)
        everywhere = [root / _XML]
        note = ""
    else:
        place = root / split
        if not place.is_dir():
            return None
        below = folder.annotated_below(place, _SUFFIX)
        if not below.annotations:
            return None
        numbers, note = paired(below.pictures, below.annotations, place, place, _SUFFIX)
        files = {place / name: number for name, number in numbers.items()}
        everywhere = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    read_already = {file: read(file) for file in files}
    annotations = {number: (file, read_already[file]) for file, number in files.items()}
    classes = class_names(root) or _names(everywhere, read_already)
    check_names(classes, f"the XML below {root}")
    label = {name: number for number, name in enumerate(classes)}
    objects = list(_objects(annotations, label))
    check_pixels(objects, listed if listed.is_file() else place)
    sizes = [
        annotations[number][1].size if number in annotations else (0, 0)
        for number in range(len(below.pictures))
    ]
    return BoxesFolder(
        place,
        below.pictures,
        below.links,
        classes,
        objects,
        most=dataset.most_boxes,
        sizes=sizes,
        notes=(below.note, note),
    )


def _listed(root: Path, file: Path) -> tuple[Path, folder.Below, dict[Path, int]]:
    """The pictures of a split of the devkit, and the numbers of these by their annotations."""
    place = root / _PICTURES
    for part in (place, root / _XML):
        if not part.is_dir():
            raise UsageError(f"no folder {part}, which goes with {file}: put it there")
    names = [line.split()[0] for line in text_of(file).splitlines() if line.strip()]
    if not names:
        raise UsageError(f"{file} lists no pictures: write a name on each line")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise UsageError(f"{file} lists {some(twice)} twice: keep one line of each")
    pictures, links, _ = folder.files_below(place)
    of_stem = {stem(name): name for name in pictures}
    for known, what, where in (
        (of_stem.keys(), "picture", place),
        ({stem(path.name) for path in (root / _XML).iterdir()}, f"NAME{_SUFFIX}", root / _XML),
    ):
        absent = [name for name in names if name not in known]
        if absent:
            raise UsageError(
                f"{len(absent):,} of the names in {file} have no {what} in {where} ({some(absent)}): put "
                "them there, or take the names out"
            )
    chosen = [of_stem[name] for name in names]
    files = {root / _XML / f"{name}{_SUFFIX}": number for number, name in enumerate(names)}
    return place, folder.Below(chosen, links, [], ""), files


def read(file: Path) -> Annotation:
    """What an XML file says, its corners as this module's description has it.

    Raises:
        UsageError: It cannot be read, is damaged, or lacks what an object must have.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error
    if b"<!ENTITY" in content:  # a few lines of these can grow into gigabytes
        raise UsageError(
            f"{file} declares entities, of which annotations have no need: write it without"
        )
    try:
        parsed = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise UsageError(f"{file} is damaged: {error}; write it again") from error
    if parsed.tag != "annotation":
        raise UsageError(
            f"{file} is no annotation of Pascal VOC: its root is <{parsed.tag}>, not <annotation>"
        )
    size = _size(parsed)
    objects = []
    for number, each in enumerate(parsed.findall("object"), start=1):
        name = (each.findtext("name") or "").strip()
        texts = [each.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")]
        try:
            x0, y0, x1, y1 = (float(text or "") for text in texts)
        except ValueError:
            name = ""
        if not name:
            raise UsageError(
                f"{file}: object {number} needs a name, and a bndbox of numbers, xmin, ymin, xmax and ymax"
            )
        difficult = (each.findtext("difficult") or "").strip() == "1"
        objects.append((name, (x0 - 1, y0 - 1, x1, y1), difficult))
    return Annotation(size, objects)


def _size(parsed: ElementTree.Element) -> tuple[int, int]:
    try:
        height, width = (int(parsed.findtext(f"size/{side}") or 0) for side in ("height", "width"))
    except ValueError:
        return 0, 0
    return (height, width) if min(height, width) > 0 and max(height, width) < 2**31 else (0, 0)


def _objects(
    annotations: Mapping[int, tuple[Path, Annotation]], label: Mapping[str, int]
) -> Iterator[Object]:
    for number, (file, annotation) in annotations.items():
        for name, corners, difficult in annotation.objects:
            if name not in label:
                raise UsageError(
                    f"{file} has an object of the class {name!r}, which is none of {some(label)}: mend it, "
                    f"or add the class to {NAMES}"
                )
            yield Object(number, corners, label[name], crowd=difficult)


def _names(everywhere: Iterable[Path], known: Mapping[Path, Annotation]) -> tuple[str, ...]:
    """The classes that the annotations below some folders name, of which some have been read."""
    found = set()
    for place in everywhere:
        for name in folder.annotated_below(place, _SUFFIX).annotations:
            annotation = known.get(place / name) or read(place / name)
            found |= {label for label, _, _ in annotation.objects}
    return tuple(sorted(found))
