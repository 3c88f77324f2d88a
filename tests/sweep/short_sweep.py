"""Two variants of a run of a few seconds, with everything that could make a resumed run differ."""

from chanattn.sweep import Sweep
from tests.training import small_recipe


def get_config(length="300"):
    """The recipe of the tests of the loop, longer: the argument is the number of steps."""
    c = small_recipe.get_config()
    c.steps = int(length)
    c.log_every = c.eval_every = 50
    c.checkpoint_every = 20
    return c


def sweep(length="300"):
    """With attention and without."""
    return Sweep(
        title="short",
        variants={"none": {"model.attention.name": "identity"}, "se": {}},
        baseline="none",
        seeds=1,
    )
