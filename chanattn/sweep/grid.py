"""A sweep as its file describes it: named variants of one recipe, seeds, and published figures.

The file is a recipe with a second function beside `get_config`:

    def sweep(scale="digits"):
        return Sweep(
            title="SE: reduction ratio",
            variants={"none": {"model.attention.name": "identity"},
                      "se_r4": {"model.attention.name": "se", "model.attention.reduction": 4}},
            baseline="none",
        )
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from chanattn import cli
from chanattn.errors import UsageError
from chanattn.fields import closest, flatten
from chanattn.runs.published import Published

if TYPE_CHECKING:
    from ml_collections import ConfigDict


@dataclasses.dataclass(frozen=True)
class Sweep:
    """The grid: every variant is trained with every seed.

    Attributes:
        title: of the table.
        variants: name -> overrides of the shared recipe by dotted path:
            {"model.attention.name": "se", "model.attention.reduction": 4}. Their order is the table's.
        baseline: the variant that the others are compared with.
        seeds: how many, counted from 0, or which.
        published: figures to stand beside ours; several settings or tables are possible.
        note: what the table asks, in one or two sentences; shown in the report.
    """

    title: str
    variants: Mapping[str, Mapping[str, Any]]
    baseline: str
    seeds: int | Sequence[int] = 5
    published: Sequence[Published] = ()
    note: str = ""


def load(file: str) -> "tuple[ConfigDict, Sweep]":
    """The recipe and the grid of a sweep file; `FILE:SCALE` gives both functions the argument.

    Raises:
        UsageError: there is no such file, it lacks one of the functions, or it refuses the argument.
    """
    name = file.partition(":")[0]
    module = cli.load_module(name)
    config = cli.load_config(file, module)
    if not hasattr(module, "sweep"):
        raise UsageError(
            f"{name} defines no sweep(); it is a recipe for train.py. Sweeps are in configs/ablations"
        )
    grid = cli.call(file, "sweep", module)
    if not isinstance(grid, Sweep):
        raise UsageError(f"sweep() of {name} returned no chanattn.sweep.Sweep")
    return config, grid


def seeds(wanted: int | Sequence[int]) -> tuple[int, ...]:
    """The seeds themselves: `3` stands for (0, 1, 2).

    Raises:
        UsageError: there is none, one is no whole number from 0, or one comes twice.
    """
    numbers = tuple(range(wanted)) if isinstance(wanted, int) else tuple(wanted)
    if not numbers:
        raise UsageError(f"a sweep needs at least one seed, not {wanted!r}")
    for number in numbers:
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 2**32:
            raise UsageError(f"seeds must be whole numbers from 0, not {number!r}")
    if len(set(numbers)) != len(numbers):
        raise UsageError(f"seeds {', '.join(map(str, numbers))}: one comes twice")
    return numbers


def resolve(recipe: "ConfigDict", overrides: Mapping[str, Any], seed: int = 0) -> "ConfigDict":
    """The config of one run: the recipe with the overrides of its variant, and the seed.

    A value of the wrong type is put in as it is, for `chanattn.training.validate` to name.

    Raises:
        UsageError: an override names no field of the recipe; the message lists all of these.
    """
    from ml_collections import ConfigDict

    config = ConfigDict(recipe.to_dict()).lock()
    known = list(flatten(config))
    wrong = [_unknown(path, known) for path in overrides if path not in known or path == "seed"]
    if wrong:
        raise UsageError("; ".join(wrong))
    for path, value in {**overrides, "seed": seed}.items():
        _set(config, path, tuple(value) if isinstance(value, list) else value)
    return config


def job_config(recipe: "ConfigDict", overrides: Mapping[str, Any], seed: int) -> "ConfigDict":
    """`resolve` for a variant that was checked, with the network told as its run will record it."""
    # Here, because every program below `chanattn.sweep` imports this file, and few need a network.
    from chanattn.training.validate import with_network_told

    return with_network_told(resolve(recipe, overrides, seed))


def _set(config: "ConfigDict", path: str, value: object) -> None:
    group, _, name = path.rpartition(".")
    section = config[group] if group else config
    try:
        section[name] = value
    except TypeError:
        with section.ignore_type():
            section[name] = value


def _unknown(path: str, known: list[str]) -> str:
    if path == "seed":
        return "seed is no field of a variant; the seeds of a sweep are those of Sweep(seeds=...)"
    below = [other for other in known if other.startswith(f"{path}.")]
    if below:
        return f"{path} is a group of fields; set one of them, as {below[0]}"
    return f"unknown config field {path!r}.{closest(path, known)}".rstrip(".")
