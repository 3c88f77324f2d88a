"""What the trials of a search are judged on: never the split that results are reported on.

The best of many trials is the best on the pictures that chose it, partly by luck, so that its accuracy there
is no honest result.
"""

from ml_collections import ConfigDict

from chanattn.data import split as splits
from chanattn.errors import UsageError
from chanattn.sweep.grid import resolve

HELD_OUT = 10  # percent of the training split


def honest_splits(recipe: ConfigDict, wanted: str = "") -> ConfigDict:
    """The recipe, judged on pictures that it neither trains on nor is to be reported on.

    Args:
        recipe: with the splits that it is meant for.
        wanted: a split to judge on, and the training split stays whole; empty: the last `HELD_OUT` percent of
            the training split, which are left out of the training.

    Raises:
        UsageError: the training split cannot be divided so, or `wanted` is the one to be reported on.
    """
    dataset = recipe.dataset
    if wanted:
        if splits.parse(wanted).name == splits.parse(dataset.eval_split).name != dataset.split:
            raise UsageError(
                f"--search_split={wanted} is the split that results are reported on; choosing by it would"
                " make them worthless. Leave the flag out, or name another split"
            )
        return resolve(recipe, {"dataset.eval_split": wanted})
    if dataset.name == "folder":
        raise UsageError(
            "a folder's pictures are ordered by class, so that its last part is no fair sample: make a"
            f" folder beside {dataset.split} with other pictures, and name it: --search_split=NAME"
        )
    whole = splits.parse(dataset.split)
    if whole.start is not None or whole.stop is not None:
        raise UsageError(
            f"the training split {dataset.split} is a part already; name what to judge trials on:"
            f" --search_split={whole.name}[...]"
        )
    border = f"{100 - HELD_OUT}%"
    return resolve(
        recipe,
        {
            "dataset.split": f"{whole.name}[:{border}]",
            "dataset.eval_split": f"{whole.name}[{border}:]",
        },
    )
