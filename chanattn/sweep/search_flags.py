"""The flags of `python -m chanattn.sweep --search`, and the request that they make."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags
from ml_collections import ConfigDict

from chanattn import cli
from chanattn.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from chanattn.sweep.search import Request

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


def request(
    file: str,
    config: ConfigDict,
    *,
    seeds: Sequence[int],
    workdir: Path,
    launcher: str,
    parallel: int,
    max_losses: int,
    stall: float,
) -> "Request":
    """What the flags ask for, checked as a whole.

    Args:
        file: the sweep file, with its argument.
        config: what its `get_config()` returns, with the changes of the command line.
        seeds: of each trial.
        workdir: folder of the search.
        launcher: name of the launcher.
        parallel: runs at a time; 0: the launcher's choice.
        max_losses: see `Controller`.
        stall: see `launchers.create`.

    Raises:
        UsageError: the space or a flag does not fit.
    """
    from chanattn import tasks
    from chanattn.sweep import space as spaces
    from chanattn.sweep.held_out import honest_splits
    from chanattn.sweep.machine import places
    from chanattn.sweep.search import Request
    from chanattn.training.config import changed_fields

    module = cli.load_module(file.partition(":")[0])
    recipe = cli.load_config(file, module)
    entries = dict(cli.call(file, "search", module)) if hasattr(module, "search") else {}
    entries |= dict(spaces.from_flag(text) for text in SPACE.value)
    space = spaces.space(entries)
    changed = {path: new for path, (_, new) in changed_fields(recipe, config).items()}
    if "seed" in changed:
        raise UsageError("--config.seed: trials have seeds of their own; --seeds says which")
    twice = sorted(set(changed) & set(space))
    if twice:
        raise UsageError(f"--config.{twice[0]} sets what the search is to choose; leave one out")
    if not parallel and launcher != "local":
        raise UsageError(
            f"--search on {launcher} needs --parallel=N, the number of runs at a time: later trials learn"
            " from earlier ones, so not all can be queued at once"
        )
    judged = honest_splits(config, SEARCH_SPLIT.value)
    outlines = spaces.check_space(space, judged, file)
    metrics = {metric.name: metric for metric in tasks.create(config.task).metrics}
    chosen = METRIC.value or next(iter(metrics))
    if chosen not in metrics:
        raise UsageError(
            f"--search_metric={chosen}: the task {config.task.name} has no such metric; there are"
            f" {', '.join(metrics)}.{did_you_mean(chosen, list(metrics))}"
        )
    at_a_time = parallel or len(places(config.platform))
    return Request(
        file=file,
        class_names=next(iter(outlines.values())).class_names,
        recipe=judged,
        changed=changed,
        space=space,
        trials=TRIALS.value,
        at_a_time=max(1, at_a_time // len(seeds)),
        seeds=seeds,
        metric=chosen,
        maximize=metrics[chosen].higher_is_better,
        prune=PRUNE.value,
        search_seed=SEARCH_SEED.value,
        workdir=workdir,
        launcher=launcher,
        parallel=parallel,
        max_losses=max_losses,
        stall=stall,
    )
