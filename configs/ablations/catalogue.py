"""All sweeps, and the page that lists them."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from chanattn.markdown import table
from chanattn.sweep import Published, Sweep
from configs.ablations import scales

# In the order of the page; a test compares it with the files.
NAMES = (
    "mechanisms",
    *("se_reduction", "se_squeeze", "se_gate", "se_stage", "se_placement", "se_networks"),
    *("eca_excitation", "cbam_channel", "cbam_spatial", "cbam_arrangement"),
    *("sk_branches", "sk_second_branch", "resnest_radix", "epsa_groups"),
    *("fca_components", "fca_basis", "gct", "sge_init", "simam", "timm_family"),
    *("soft_hard", "input_matters"),
)
#: Of another task, with scales and tables of their own.
OTHER_TASKS = ("segmentation", "detection", "captioning")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "ablations.md"


def load(name: str) -> ModuleType:
    """The module of a sweep, with `get_config(scale)` and `sweep(scale)`."""
    return importlib.import_module(f"configs.ablations.{name}")


def markdown() -> str:
    """The text of `docs/ablations.md`."""
    lines = []
    for name in NAMES:
        small, large = load(name).sweep("digits"), load(name).sweep("imagenet")
        published = small.published or large.published
        count = " to ".join(dict.fromkeys(str(len(s.variants)) for s in (small, large)))
        link = f"[`{name}`](#{name})"
        lines.append((link, small.title, count, "yes" if published else "no"))
    sections = [line for name in NAMES for line in _section(name)]
    listed = table(("sweep", "table", "variants", "published"), lines)
    sections += [line for name in OTHER_TASKS for line in _of_task(name)]
    return "\n".join((_HEAD, *listed, "", *sections))


def _of_task(name: str) -> Iterator[str]:
    """A file of several tables; a scale may add variants and have published figures."""
    module = load(name)
    yield from _text(name, module)
    for table_name, sweep in module.TABLES.items():
        yield f"* `{table_name}`: {sweep.note} The baseline first: {_variants(sweep)}."
    yield ""
    for scale in module.SCALES:
        sweep = module.sweep(scale)
        if sweep.published:
            yield f"`:{scale}` has the variants {_variants(sweep)}, and beside them what is published:"
            yield ""
            yield from (line for each in sweep.published for line in _figures(each))
            yield ""


def _section(name: str) -> Iterator[str]:
    module = load(name)
    sweep: Sweep = module.sweep("imagenet")
    yield from _text(name, module, sweep.note)
    yield f"Variants at `:imagenet`, the baseline first: {_variants(sweep)}."
    yield ""
    figures = [
        line for s in scales.SCALES for p in module.sweep(s).published for line in _figures(p)
    ]
    yield from dict.fromkeys(figures)
    if figures:
        yield ""


def _text(name: str, module: ModuleType, note: str = "") -> Iterator[str]:
    """Heading, title, commands and paragraphs of a file."""
    title, *paragraphs = (module.__doc__ or "").strip().split("\n\n")
    commands = [p for p in paragraphs if p.startswith(" ")]
    yield f"## {name}"
    yield ""
    yield title
    yield ""
    yield from ("```sh", *(line.strip() for p in commands for line in p.splitlines()), "```", "")
    if note:
        yield note
        yield ""
    for paragraph in paragraphs:
        if not paragraph.startswith(" "):
            yield paragraph
            yield ""


def _variants(sweep: Sweep) -> str:
    others = [name for name in sweep.variants if name != sweep.baseline]
    return ", ".join(f"`{name}`" for name in (sweep.baseline, *others))


def _figures(published: Published) -> Iterator[str]:
    values = ", ".join(f"{name} {_value(v)}" for name, v in published.values.items())
    note = f" {published.note}" if published.note else ""
    yield f"* {published.source}. {published.setting}; {published.metric}: {values}.{note}"


def _value(value: float | tuple[float, float]) -> str:
    return f"{value[0]:g} ± {value[1]:g}" if isinstance(value, tuple) else f"{value:g}"


_HEAD = """\
# Ablations

Written by `python -m configs.ablations --markdown`; a test keeps it up to date.

Each file of `configs/ablations/` is one table: a recipe, named variants of it, and the figures that have
been published. The part after the colon is the scale:

| scale | recipe | network, unless the table asks for another |
| --- | --- | --- |
| `digits` | `configs/digits.py` | resnet8 |
| `fashion_mnist` | `configs/fashion_mnist.py` | resnet8 |
| `cifar10` | `configs/cifar10.py` | resnet20 |
| `cifar100` | `configs/cifar100.py` | resnet20 |
| `imagenet` | `configs/imagenet.py` | resnet50 |

An architecture may follow, `cifar10-resnet56`: all variants then have that network, and tables with
figures for it show those. Published figures stand beside the results at every scale, with the setting
that they are from: elsewhere than there, compare the order of the variants, not the numbers. A row that a
paper has and a sweep has not is named in its text. The last three sections are of other tasks,
and have their own scales.
"""
