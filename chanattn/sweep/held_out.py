"""What the trials of a search are judged on: never the split that results are reported on.

The best of many trials is the best on the pictures that chose it, partly by luck, so that its accuracy there
is no honest result.
"""

from ml_collections import ConfigDict

from chanattn import data, tasks
from chanattn.errors import UsageError
from chanattn.sweep.grid import resolve
from chanattn.training.validate import import_modules

HELD_OUT = 10  # percent of the training split


def honest_splits(recipe: ConfigDict, wanted: str = "") -> ConfigDict:
    """The recipe, judged on pictures that it neither trains on nor is to be reported on.

    Args:
        recipe: with the splits that it is meant for.
        wanted: a split to judge on, and the training split stays whole; empty: the last `HELD_OUT` percent of
            the training split, which are left out of the training.

    Raises:
        UsageError: the training split cannot be divided so, or what is to be judged on is trained on or
            reported on too, however the splits are written.
    """
    if wanted:
        judged = resolve(recipe, {"dataset.eval_split": wanted})
    else:
        judged = resolve(recipe, _held_out(recipe.dataset.split))
    import_modules(recipe)
    fields = tasks.create(recipe.task).fields
    chosen = data.open_source(judged.dataset, judged.dataset.eval_split, fields)
    reported = data.open_source(recipe.dataset, recipe.dataset.eval_split, fields)
    count = data.shared(reported, chosen)
    if count:
        raise UsageError(
            f"{count:,} of the {len(chosen):,} pictures of {judged.dataset.eval_split}, which trials would be"
            f" judged on, are in {recipe.dataset.eval_split}, which results are reported on; choosing by them"
            " would make those worthless. Name another split: --search_split=NAME"
        )
    trained = data.open_source(judged.dataset, judged.dataset.split, fields)
    data.check_splits(judged, trained, chosen)
    return judged


def _held_out(split: str) -> dict[str, str]:
    """The fields that divide a training split into one and what is judged on."""
    if "[" in split or "+" in split:
        raise UsageError(
            f"the training split {split} is a part already, or several; name what to judge trials on:"
            " --search_split=NAME"
        )
    border = f"{100 - HELD_OUT}%"
    return {"dataset.split": f"{split}[:{border}]", "dataset.eval_split": f"{split}[{border}:]"}
