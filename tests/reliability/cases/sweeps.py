"""Grids that cannot work, folders of something else, and searches."""

import json
from collections.abc import Callable
from pathlib import Path

from tests.reliability.case import Case
from tests.reliability.making import both, recipe, text, tiny

SWEEP = "python -m chanattn.sweep --config=tiny.py --workdir=S"
SEARCH = f"{SWEEP} --search --search_space=optimizer.learning_rate"
PLAIN = "{'none': {'model.attention.name': 'identity'}, 'se': {'model.attention.reduction': 4}}"

OTHER = {
    **{"format": 1, "name": "other", "title": "T", "baseline": "none", "seeds": [0]},
    "variants": {"none": {"directory": "none", "overrides": {}}},
}


def grid(variants: str = PLAIN, rest: str = "baseline='none'") -> Callable[[Path], None]:
    """The tiny recipe with a grid."""
    return recipe(
        "def sweep(attention='se'):\n    from chanattn.sweep import Published, Sweep\n\n"
        f"    return Sweep(title='T', variants={variants}, {rest})\n"
    )


def named(name: str) -> Callable[[Path], None]:
    """A grid with a variant of that name."""
    return grid(f"{{'none': {{}}, {name!r}: {{}}}}")


CASES = (
    Case("no folder", "python -m chanattn.sweep --config=configs/ablations/mechanisms.py:digits"),
    Case("no sweep file", "python -m chanattn.sweep --workdir=S"),
    Case(
        "outside of the clone",
        "python -m chanattn.sweep --config=configs/ablations/se_reduction.py --workdir=S",
        lambda folder: (folder / "configs").unlink(),
        varies=r"(?<=whole path, ).*",
    ),
    Case(
        "unknown scale",
        "python -m chanattn.sweep --config=configs/ablations/mechanisms.py:digts --workdir=S",
    ),
    Case("recipe without a grid", SWEEP, tiny),
    Case("`sweep` returns something else", SWEEP, recipe("def sweep():\n    return {}\n")),
    Case("`sweep` raises", SWEEP, recipe("def sweep():\n    return {}['x']\n")),
    Case("no variants", SWEEP, grid("{}")),
    Case("baseline that is no variant", SWEEP, grid(rest="baseline='nnoe'")),
    Case("variant with an unknown field", SWEEP, grid("{'none': {'model.atention.name': 'se'}}")),
    Case("variant with a value out of range", SWEEP, grid("{'none': {'model.dropout': 2.0}}")),
    Case("variant of the wrong type", SWEEP, grid("{'none': {'batch_size': 'large'}}")),
    Case("variant that is no mapping", SWEEP, grid("{'none': 3}")),
    Case("variant that sets the seed", SWEEP, grid("{'none': {'seed': 3}}")),
    Case("variant without a name", SWEEP, named(" ")),
    Case("variant with a line break in its name", SWEEP, named("a\nb")),
    Case("variants whose names share a folder", SWEEP, grid("{'none': {}, 'None': {}}")),
    Case(
        "published figure of no variant",
        SWEEP,
        grid(rest="baseline='none', published=[Published('P', 's', 'm', {'sse': 1.0})]"),
    ),
    Case("seeds that are none", f"{SWEEP} --seeds=two", grid()),
    Case("no seed", f"{SWEEP} --seeds=0", grid()),
    Case("seed that comes twice", f"{SWEEP} --seeds=1,1", grid()),
    Case("negative seed", f"{SWEEP} --seeds=-1,2", grid()),
    Case("seed as a field", f"{SWEEP} --config.seed=3", grid()),
    Case("field that the data refuses", f"{SWEEP} --config.batch_size=100", grid()),
    Case("unknown variant", f"{SWEEP} --only=see", grid()),
    Case("unknown launcher", f"{SWEEP} --launcher=kubernetes", grid()),
    Case("flag of another launcher", f"{SWEEP} --slurm_time=10", grid()),
    Case("negative number of runs", f"{SWEEP} --parallel=-1", grid()),
    Case(
        "Slurm without Slurm",
        f"{SWEEP} --launcher=slurm",
        grid(),
        writes=("S.*",),
        environment={"PATH": ""},
    ),
    Case(
        "Ray at an address where nobody is",
        f"{SWEEP} --launcher=ray --ray_address=localhost:1",
        grid(),
        writes=("S.*",),
    ),
    Case("folder of something else", SWEEP, both(grid(), text("S/notes.txt", ""))),
    Case("folder that is a file", SWEEP, both(grid(), text("S", ""))),
    Case("damaged sweep.json", SWEEP, both(grid(), text("S/sweep.json", '{"format": 1'))),
    Case(
        "sweep.json without its fields", SWEEP, both(grid(), text("S/sweep.json", '{"format": 1}'))
    ),
    Case(
        "sweep.json of another format", SWEEP, both(grid(), text("S/sweep.json", '{"format": 2}'))
    ),
    Case(
        "folder of another sweep",
        SWEEP,
        both(
            grid(),
            text("S/sweep.json", json.dumps(OTHER)),
        ),
        writes=(r"S/\.lock",),
    ),
    Case("flag of a search", f"{SWEEP} --trials=3", grid()),
    Case("search without a space", f"{SWEEP} --search", tiny),
    Case("search of a space that is none", f"{SEARCH}", tiny),
    Case("search of an unknown kind", f"{SEARCH}=log:0.1:1", tiny),
    Case("search of an empty range", f"{SEARCH}=uniform:1:0.1", tiny),
    Case(
        "search of an unknown field",
        f"{SWEEP} --search --search_space=optimizer.lr=uniform:0.1:1",
        tiny,
    ),
    Case("search with no trial", f"{SEARCH}=uniform:0.1:1 --trials=0", tiny),
    Case("search by the test split", f"{SEARCH}=uniform:0.1:1 --search_split=test", tiny),
    Case(
        "search by pictures that are trained on",
        f"{SEARCH}=uniform:0.1:1 --search_split=train[50%:]",
        tiny,
    ),
    Case("search with a flag of sweeps", f"{SEARCH}=uniform:0.1:1 --only=se", tiny),
)
