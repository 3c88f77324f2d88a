"""What is measured: a row is a network or a bare attention module, on batches of one shape.

Networks are called `resnet20`, `resnet20_se`, ..., those with the head of a task other than classification
`resnet18-fpn`, `resnet18-fcos_se`, ..., modules `se@32x56x56x256` (N x H x W x C). Options are chosen so that
both sides compute the same: timm's rounding of widths, timm's form of CBAM and GC, and its SK with split
input.
"""

import dataclasses
import fnmatch
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from chanattn.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from benchmarks.floor import Work

MECHANISMS: dict[str, dict[str, Any]] = {
    "se": {"name": "se", "rounding": "timm"},
    "eca": {"name": "eca"},
    "cbam": {"name": "cbam", "preset": "timm"},
    "gc": {"name": "gc", "preset": "timm", "fuse": "mul"},
    "sk": {"name": "sk", "rounding": "timm", "min_width": 8, "split_input": True},
    "splat": {"name": "splat", "rounding": "timm"},
}
PLAIN = {"name": "identity"}
CONV_SLOT = ("sk", "splat")
MODULE_SHAPES = ((32, 56, 56, 256), (32, 14, 14, 1024), (128, 32, 32, 16))


class Architecture(NamedTuple):
    """A network of the benchmark: picture size, classes, the default batches, and the head of a task."""

    image_size: int
    num_classes: int
    cpu_batch: int
    gpu_batch: int
    head: str = ""


ARCHITECTURES = {
    "resnet20": Architecture(32, 10, cpu_batch=128, gpu_batch=128),
    "resnet50": Architecture(224, 1000, cpu_batch=16, gpu_batch=256),
    "resnet18-fpn": Architecture(128, 20, cpu_batch=8, gpu_batch=64, head="fpn"),
    "resnet18-fcos": Architecture(128, 20, cpu_batch=8, gpu_batch=64, head="fcos"),
}


@dataclasses.dataclass(frozen=True)
class Row:
    """One thing to measure.

    Attributes:
        name: as on the command line.
        architecture: key of `ARCHITECTURES`; empty for a module alone.
        attention: key of `MECHANISMS`; empty for the plain backbone.
        shape: of the input, (N, H, W, C).
        num_classes: of a network; 0 for a module.
        head: of a task other than classification, "fpn" or "fcos"; empty for all else.
        precision: float32 or bfloat16.
    """

    name: str
    architecture: str
    attention: str
    shape: tuple[int, int, int, int]
    num_classes: int = 0
    head: str = ""
    precision: str = "float32"

    @property
    def batch(self) -> int:
        """Images a step."""
        return self.shape[0]

    @property
    def options(self) -> Mapping[str, Any]:
        """Name and options of our mechanism."""
        return MECHANISMS[self.attention] if self.attention else PLAIN


@dataclasses.dataclass(frozen=True)
class Side:
    """One of two competitors on one row and mode, ready to run.

    Attributes:
        run: seconds that so many steps take, the last one finished; nothing runs before or after.
        parameters: trainable values.
        variant: how it runs, in words.
        images_per_s: of several variants that were compared, by name.
        notes: what could not be compared.
        work: what a step cannot but do; None: not counted.
    """

    run: Callable[[int], float]
    parameters: int
    variant: str
    images_per_s: Mapping[str, float] = dataclasses.field(default_factory=dict)
    notes: Sequence[str] = ()
    work: "Work | None" = None


def names() -> list[str]:
    """All names: networks plain and with each mechanism, other tasks' with gates alone; then the modules."""
    networks = [
        f"{architecture}_{attention}".rstrip("_")
        for architecture, of in ARCHITECTURES.items()
        for attention in ("", *MECHANISMS)
        if not (of.head and attention in CONV_SLOT)
    ]
    modules = [
        f"{attention}@{'x'.join(map(str, shape))}"
        for shape in MODULE_SHAPES
        for attention in MECHANISMS
    ]
    return networks + modules


def choose(listed: str) -> list[str]:
    """The names of a comma-separated list with wildcards (`resnet20*`, `*@*`), each once, in its order.

    Modules may have shapes that `names` does not list.

    Raises:
        UsageError: nothing is called so, or nothing is listed.
    """
    valid = names()
    chosen: list[str] = []
    for pattern in filter(None, (part.strip() for part in listed.split(","))):
        found = fnmatch.filter(valid, pattern)
        if not found and _module(pattern):
            found = [pattern]
        if not found:
            raise UsageError(
                f"unknown row {pattern!r}; networks: resnet20, resnet20_se, ..., modules:"
                f" se@32x56x56x256, ..., groups: resnet50*, *@*.{did_you_mean(pattern, valid)}"
            )
        chosen += found
    if not chosen:
        raise UsageError("--rows lists nothing; for instance --rows=resnet20,resnet20_se")
    return list(dict.fromkeys(chosen))


def make(
    chosen: Sequence[str], *, batch_size: int, on_accelerator: bool, precision: str
) -> list[Row]:
    """The rows of these names.

    Args:
        chosen: from `choose`.
        batch_size: images a step of every row; 0: each row's own.
        on_accelerator: selects the default batches of the networks.
        precision: of all rows.
    """
    made = []
    for name in chosen:
        module = _module(name)
        if module is not None:
            attention, (default, *sizes) = module
            network, classes, head = "", 0, ""
        else:
            network, _, attention = name.partition("_")
            size, classes, *batches, head = ARCHITECTURES[network]
            default, sizes = batches[on_accelerator], [size, size, 3]
        h, w, c = sizes
        shape = (batch_size or default, h, w, c)
        made.append(Row(name, network, attention, shape, classes, head, precision))
    return made


def _module(name: str) -> tuple[str, tuple[int, int, int, int]] | None:
    """Mechanism and shape of `se@32x56x56x256`; None for anything else."""
    match = re.fullmatch(r"(\w+)@([1-9]\d*)x([1-9]\d*)x([1-9]\d*)x([1-9]\d*)", name)
    if match is None or match[1] not in MECHANISMS:
        return None
    n, h, w, c = map(int, match.groups()[1:])
    return match[1], (n, h, w, c)
