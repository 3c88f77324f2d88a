"""The flags of `python -m chanattn.sweep --search`, and the request that they make."""

from typing import TYPE_CHECKING

from absl import flags

from chanattn import cli
from chanattn.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from chanattn.sweep.request import Request, SearchRequest

SEARCH = flags.DEFINE_bool(
    "search", False, "search for hyper-parameters with Optuna instead of training a grid"
)
SPACE = flags.DEFINE_multi_string(
    "search_space",
    [],
    "FIELD=KIND:LOW:HIGH (uniform, log_uniform, int, log_int) or FIELD=choice:A,B,C: what a search may"
    " choose, beside what search() of the file names; may be repeated",
)
TRIALS = flags.DEFINE_integer(
    "trials", 20, "of a search, those made before included", lower_bound=1
)
SEARCH_SPLIT = flags.DEFINE_string(
    "search_split",
    "",
    "split that trials are judged on; default: the last 10 % of the training split, left out of training",
)
METRIC = flags.DEFINE_string(
    "search_metric",
    "",
    "metric of the task that a search improves, at the end of a run; default: its first, as top1",
)
PRUNE = flags.DEFINE_bool(
    "prune", False, "stop trials of a search that lag behind the median of the others"
)
SEARCH_SEED = flags.DEFINE_integer("search_seed", 0, "of the choices of a search", lower_bound=0)


def request(given: "Request") -> "SearchRequest":
    """What the flags ask for, checked as a whole.

    Args:
        given: what searches have in common with grids.

    Raises:
        UsageError: the space or a flag does not fit.
    """
    from chanattn import tasks
    from chanattn.sweep import space as spaces
    from chanattn.sweep.held_out import honest_splits
    from chanattn.sweep.request import SearchRequest

    module = cli.load_module(given.file.partition(":")[0])
    entries = dict(cli.call(given.file, "search", module)) if hasattr(module, "search") else {}
    entries |= dict(spaces.from_flag(text) for text in SPACE.value)
    space = spaces.space(entries)
    twice = sorted(set(given.changed) & set(space))
    if twice:
        raise UsageError(f"--config.{twice[0]} sets what the search is to choose; leave one out")
    if not given.parallel and given.launcher != "local":
        raise UsageError(
            f"--search on {given.launcher} needs --parallel=N, the number of runs at a time: later trials"
            " learn from earlier ones, so not all can be queued at once"
        )
    recipe = honest_splits(given.recipe, SEARCH_SPLIT.value)
    outlines = spaces.check_space(space, recipe, given.file)
    metrics = {metric.name: metric for metric in tasks.create(recipe.task).metrics}
    chosen = METRIC.value or next(iter(metrics))
    if chosen not in metrics:
        raise UsageError(
            f"--search_metric={chosen}: the task {recipe.task.name} has no such metric; there are"
            f" {', '.join(metrics)}.{did_you_mean(chosen, list(metrics))}"
        )
    return SearchRequest(
        **vars(given) | {"recipe": recipe},
        class_names=next(iter(outlines.values())).class_names,
        space=space,
        trials=TRIALS.value,
        metric=metrics[chosen],
        prune=PRUNE.value,
        search_seed=SEARCH_SEED.value,
    )
