"""Parameters, multiply-accumulates, speed and memory of a config.

    python -m chanattn.analysis.cost --config=configs/cifar10.py:se --config.model.attention.reduction=8
    python -m chanattn.analysis.cost --config=configs/cifar10.py --mechanisms=se,eca,cbam
    python -m chanattn.analysis.cost --config=configs/imagenet.py:eca --nospeed --depth=2

The config's mechanism, or each of --mechanisms, is compared with the plain backbone: what it adds, and how
much longer the same step takes. Everything is timed in turns: the training step on the data set, if that is
there and a training keeps it in the device's memory, else, as inference always, on random pictures of its
shape. Of a machine with other work to do, believe the spread.
"""

import functools
from typing import TYPE_CHECKING

from absl import flags
from rich.console import Console

from chanattn import cli
from chanattn.errors import UsageError

if TYPE_CHECKING:
    from ml_collections import ConfigDict

    from chanattn.analysis.cost.grid import Grid

_MECHANISMS = flags.DEFINE_list(
    "mechanisms", [], "compare these, each with its default options; default: the config's own"
)
_AGAINST = flags.DEFINE_string(
    "against",
    "identity",
    "the mechanism to compare with; identity: the plain backbone; empty: none",
)
_BATCH_SIZES = flags.DEFINE_list("batch_sizes", [], "such as 1,128; default: the config's")
_PRECISIONS = flags.DEFINE_list("precisions", [], "float32,bfloat16; default: the config's")
_SPEED = flags.DEFINE_bool("speed", True, "time it; --nospeed counts only, which takes a moment")
_ROUNDS = flags.DEFINE_integer("rounds", 10, "how often each program has its turn", lower_bound=1)
_SECONDS = flags.DEFINE_float("seconds", 0.25, "about how long a turn takes", lower_bound=0)
_DEPTH = flags.DEFINE_integer(
    "depth", 1, "how deep the table of modules goes; 0: no such table", lower_bound=0
)
_JSON = cli.define_path("json", None, "write the figures to this file")
_MARKDOWN = cli.define_path("markdown", None, "write the tables to this file")


def main(config: "ConfigDict") -> None:
    """Counts and measures as the flags say, and prints tables.

    Raises:
        UsageError: The flags or the config cannot work, or a file cannot be written.
    """
    for path in filter(None, (_JSON.value, _MARKDOWN.value)):
        if not path.parent.is_dir():
            raise UsageError(f"cannot write {path}: there is no folder {path.parent}")
        if path.is_dir():
            raise UsageError(f"cannot write {path}: it is a folder; name a file in it")
    if _JSON.value == _MARKDOWN.value is not None:
        raise UsageError(f"--json and --markdown both write {_JSON.value}; name two files")
    # Imported late, so that a mistake in the flags is told at once.
    from chanattn.analysis.cost import tables, variants
    from chanattn.analysis.cost.grid import page
    from chanattn.analysis.cost.measure import of_configs
    from chanattn.files import write_json, write_text
    from chanattn.training.validate import validate, with_network_told

    validate(config)
    config = with_network_told(config)
    compared = variants.mechanisms(config, _MECHANISMS.value, _AGAINST.value)
    cases = variants.cases(config, _BATCH_SIZES.value, _PRECISIONS.value)
    names = {
        (name, case): case.entry(name) if len(cases) > 1 else name
        for case in cases
        for name in compared
    }
    told = Console(stderr=True)
    with told.status("counting") as status:
        measured = of_configs(
            {entry: variants.under(case, compared[name]) for (name, case), entry in names.items()},
            rounds=_ROUNDS.value,
            seconds=_SECONDS.value,
            speed=_SPEED.value,
            note=status.update if told.is_terminal else functools.partial(told.print, markup=False),
        )
    entries = measured["variants"]
    by_case = [{name: entries[names[name, case]] for name in compared} for case in cases]
    grids = []
    if _DEPTH.value and not _MECHANISMS.value:
        grids.append(_by_module(*list(compared.items())[-1]))
    against = _AGAINST.value if len(compared) > 1 else ""
    grids.append(tables.counts(by_case[0], config.model.name, against))
    if _SPEED.value:
        for shown in by_case:
            grids += tables.speeds(shown, config.model.name, against)
        for shown in {case.precision: of for case, of in zip(cases, by_case, strict=True)}.values():
            grids.append(tables.latency(shown, config.model.name, against))

    notes = tables.notes(measured)
    console = Console(width=None if Console().is_terminal else 200)
    for grid in grids:
        console.print(grid.rich())
    for note in notes:
        console.print(note, style="dim", highlight=False)
    if _JSON.value:
        write_json(_JSON.value, measured)
    if _MARKDOWN.value:
        write_text(_MARKDOWN.value, page(grids, notes))


def _by_module(name: str, config: "ConfigDict") -> "Grid":
    from chanattn.analysis.cost import tables
    from chanattn.analysis.cost.measure import network, pictures_of

    cost = network(config, pictures_of(config))
    return tables.by_module(cost, f"{config.model.name} with {name}", _DEPTH.value)


if __name__ == "__main__":
    cli.run(main, config=True)
