"""What startup, loop and pipeline measure: recipes of configs/ on data that needs no download."""

from typing import Any

from absl import flags
from ml_collections import ConfigDict

from benchmarks.results import ROOT
from chanattn import cli
from chanattn.errors import UsageError, did_you_mean

_SYNTHETIC = (
    "--config.dataset.name=synthetic --config.dataset.split=train --config.dataset.eval_split=test"
)
RECIPES = {
    "digits": "configs/digits.py",
    "resnet20": f"configs/cifar10.py:identity {_SYNTHETIC} --config.dataset.synthetic_examples=8192",
    "resnet50": f"configs/imagenet.py:identity {_SYNTHETIC} --config.dataset.synthetic_examples=2048"
    " --config.dataset.loader=device --config.dataset.workers=0 --config.batch_size=256"
    " --config.dataset.augment.random_resized_crop=false",
}


def arguments(name: str) -> list[str]:
    """What makes `train.py` train a recipe.

    Raises:
        UsageError: there is no such recipe.
    """
    if name not in RECIPES:
        raise UsageError(
            f"unknown recipe {name!r}; valid: {', '.join(RECIPES)}.{did_you_mean(name, list(RECIPES))}"
        )
    return f"--config={ROOT}/{RECIPES[name]}".split(" ")


def load(name: str, **changes: Any) -> ConfigDict:
    """The config of a recipe, with more changes by dotted path.

    Raises:
        UsageError: there is no such recipe or field.
    """
    argv = ["train.py", *arguments(name)]
    config, _ = cli.parse(argv, config=True, positionals=False, flag_values=flags.FlagValues())
    assert config is not None
    config.update_from_flattened_dict(changes)
    return config


def names(listed: str) -> list[str]:
    """The recipes of a comma-separated list, checked as by `arguments`."""
    chosen = [name for name in listed.split(",") if name]
    for name in chosen:
        arguments(name)
    return chosen
