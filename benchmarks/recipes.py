"""The trainings that startup and loop are measured on: recipes of configs/ on data that needs no download."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ml_collections import ConfigDict

from benchmarks.output import ROOT
from chanattn import cli
from chanattn.errors import UsageError, did_you_mean


@dataclass(frozen=True)
class Recipe:
    """A config file of the project with a few fields changed.

    Attributes:
        file: as for `--config`, from the root of the source tree.
        changes: values by dotted path.
    """

    file: str
    changes: Mapping[str, Any] = field(default_factory=dict)


_SYNTHETIC = {"dataset.name": "synthetic", "dataset.split": "train", "dataset.eval_split": "test"}
_LARGE = {
    "dataset.loader": "device",
    "dataset.workers": 0,
    "dataset.augment.random_resized_crop": False,
    "batch_size": 256,
}

RECIPES: dict[str, Recipe] = {
    "digits": Recipe("configs/digits.py"),
    "resnet20": Recipe(
        "configs/cifar10.py:identity", _SYNTHETIC | {"dataset.synthetic_examples": 8192}
    ),
    "resnet50": Recipe(
        "configs/imagenet.py:identity",
        _SYNTHETIC | _LARGE | {"dataset.synthetic_examples": 2048},
    ),
}


def load(name: str, **changes: Any) -> ConfigDict:
    """The config of a recipe.

    Args:
        name: of the recipe.
        **changes: more fields by their dotted path.

    Raises:
        UsageError: there is no such recipe or field.
    """
    recipe = _find(name)
    file, colon, argument = recipe.file.partition(":")
    config = cli.load_config(f"{ROOT / file}{colon}{argument}")
    with config.unlocked():
        config.update_from_flattened_dict({**recipe.changes, **changes})
    return config


def flags(name: str) -> list[str]:
    """What makes `train.py`, started at the root of the source tree, train the recipe."""
    recipe = _find(name)
    changed = [f"--config.{path}={value}" for path, value in recipe.changes.items()]
    return [f"--config={recipe.file}", *changed]


def names(listed: str) -> list[str]:
    """The recipes of a comma-separated list, checked."""
    chosen = [name for name in listed.split(",") if name]
    for name in chosen:
        _find(name)
    return chosen


def _find(name: str) -> Recipe:
    if name not in RECIPES:
        raise UsageError(
            f"unknown recipe {name!r}; valid: {', '.join(RECIPES)}.{did_you_mean(name, list(RECIPES))}"
        )
    return RECIPES[name]
