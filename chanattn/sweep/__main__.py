"""Trains every variant of a grid with every seed, and makes the table.

    python -m chanattn.sweep --config=configs/ablations/mechanisms.py:digits --workdir=runs/mechanisms
    python -m chanattn.sweep --config=configs/ablations/mechanisms.py:digits --dry_run

Started again with the same command, it continues: runs that are done stay as they are, half-done ones go on
from their checkpoints, failed ones are listed, and tried again with --retry_failed. Any field of the recipe
that the variants share can be set with --config.FIELD=VALUE. Exit codes: 0 all runs are done, 2 bad flags or
config, 75 stopped and saved, 1 anything else.

With --search it looks for hyper-parameters instead, see docs/sweeps_on_clusters.md:

    python -m chanattn.sweep --search --config=configs/digits.py --workdir=runs/search
        --search_space=optimizer.learning_rate=log_uniform:0.01:1.0
"""

import contextlib
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from chanattn import cli
from chanattn.errors import UsageError
from chanattn.runs.layout import INDEX
from chanattn.sweep import launchers, search_flags
from chanattn.sweep.watch import STALL_MINUTES as STALL_MINUTES_DEFAULT

if TYPE_CHECKING:
    from ml_collections import ConfigDict

WORKDIR = cli.define_path(
    "workdir", None, "folder of the sweep: written, or continued if it holds this sweep"
)
SEEDS = flags.DEFINE_list(
    "seeds", None, "how many, or which: 5, or 0,3,7; default: the sweep's own"
)
ONLY = flags.DEFINE_list("only", [], "variants to train now, separated by commas; default: all")
LAUNCHER = flags.DEFINE_enum("launcher", "local", launchers.NAMES, "where the runs are computed")
PARALLEL = flags.DEFINE_integer(
    "parallel", 0, "runs at a time; 0: as many as there is room for", lower_bound=0
)
DRY_RUN = flags.DEFINE_bool("dry_run", False, "show the grid and the time it takes; write nothing")
RETRY_FAILED = flags.DEFINE_bool("retry_failed", False, "try runs again that have failed")
MAX_LOSSES = flags.DEFINE_integer(
    "max_losses",
    3,
    "how often the worker of a run may vanish before the run counts as failed",
    lower_bound=0,
)
STALL_MINUTES = flags.DEFINE_float(
    "stall_minutes",
    STALL_MINUTES_DEFAULT,
    "end a worker that neither writes nor computes for so long, and count it as vanished; 0: never",
    lower_bound=0,
)
COST = flags.DEFINE_bool("cost", True, "measure what each variant costs, after the runs")
for _name in launchers.NAMES:
    flags.adopt_module_key_flags(launchers.module(_name))
flags.adopt_module_key_flags(search_flags)


def main(config: "ConfigDict") -> None:
    """Sweeps or searches as the flags say."""
    import jax

    jax.config.update("jax_platforms", "cpu")  # the accelerators are for the workers
    _refuse_idle_flags()
    with contextlib.ExitStack() as stack:
        workdir = WORKDIR.value
        if not workdir:
            if not DRY_RUN.value:
                raise UsageError("--workdir=DIRECTORY is required")
            workdir = Path(stack.enter_context(tempfile.TemporaryDirectory()))  # as if it were new
        _start(config, workdir)


def _start(config: "ConfigDict", workdir: Path) -> None:
    from chanattn.sweep import grid as grids
    from chanattn.sweep.check import check, chosen
    from chanattn.sweep.dry_run import dry_run
    from chanattn.sweep.program import sweep
    from chanattn.sweep.request import GridRequest, Request
    from chanattn.training.config import changed_fields

    file, _ = cli.take_config_flag(sys.argv)
    searching = search_flags.SEARCH.value
    recipe, grid = (cli.load_config(file), None) if searching else grids.load(file)
    changed = changed_fields(recipe, config)
    if "seed" in changed:
        raise UsageError(f"--config.seed: a sweep has several; --seeds={config.seed} sets how many")
    default = 1 if grid is None else grid.seeds
    request = Request(
        file=file,
        recipe=config,
        changed=changed,
        seeds=grids.seeds(default if SEEDS.value is None else _seeds(SEEDS.value)),
        workdir=workdir,
        launcher=LAUNCHER.value,
        parallel=PARALLEL.value,
        max_losses=MAX_LOSSES.value,
        stall=60 * STALL_MINUTES.value,
    )
    if grid is None:
        from chanattn.sweep.search import search

        search(search_flags.request(request))
        return
    (dry_run if DRY_RUN.value else sweep)(
        GridRequest(
            **vars(request),
            grid=grid,
            variants=chosen(grid, ONLY.value),
            retry_failed=RETRY_FAILED.value,
            cost=COST.value,
            # Last, because it takes seconds.
            outlines=check(config, grid, file, begun=(workdir / INDEX).exists()),
        )
    )


def _refuse_idle_flags() -> None:
    """Refuses flags that have no effect beside the others."""
    given = flags.FLAGS
    for name in launchers.NAMES:
        for flag in given.get_key_flags_for_module(launchers.module(name)):
            if flag.present and name != LAUNCHER.value:
                raise UsageError(f"--{flag.name} is for --launcher={name}")
    for flag in given.get_key_flags_for_module(search_flags):
        if flag.present and not search_flags.SEARCH.value:
            raise UsageError(f"--{flag.name} is for --search")
    for holder in (ONLY, DRY_RUN, RETRY_FAILED, COST):
        if search_flags.SEARCH.value and holder.present:
            raise UsageError(f"--{holder.name} is for sweeps, not for --search")


def _seeds(words: list[str]) -> int | list[int]:
    try:
        numbers = [int(word) for word in words]
    except ValueError:
        raise UsageError(
            f"--seeds takes a number or several, not {','.join(words)!r}: --seeds=5 or --seeds=0,3,7"
        ) from None
    return numbers[0] if len(numbers) == 1 else numbers


if __name__ == "__main__":
    cli.run(main, config=True, example="configs/ablations/se_reduction.py")
