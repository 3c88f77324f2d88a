"""Loop efficiency: images/s of `train.py`'s loop against its bare step, in alternation.

    python -m benchmarks.loop --recipes=digits,resnet20 --rounds=5 --json=loop.json

Three speeds of one recipe in one process: `loop`, a whole training as `train.py` runs it, with logging (from
its metrics.jsonl; compilation, evaluation and saving left out as there); `step`, its compiled step on the
same feed again and again; `fixed`, that step on a batch prepared once, so without shuffling and augmentation.
"""

import contextlib
import io
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict

from benchmarks import output, recipes
from chanattn import cli

_WINDOWS = 4  # log points of a training; the first is left out, in which the device warms up


def main() -> None:
    """Measures as the flags say."""
    values = flags.FLAGS
    rows = [measure(name, values.steps, values.rounds) for name in recipes.names(values.recipes)]
    output.report("loop", rows, values.json)


def measure(recipe: str, steps: int, rounds: int, **changes: Any) -> dict[str, Any]:
    """One recipe: medians over rounds, and the ratios of the medians.

    Args:
        recipe: its name.
        steps: of each of the three in every round.
        rounds: how often they take turns.
        **changes: of the recipe's config, by dotted path.
    """
    from benchmarks.bare import bare_step, first_batch, run
    from chanattn.training.experiment import Experiment

    length = {"steps": steps, "epochs": 0.0, "eval_every": steps, "checkpoint_every": steps}
    length["schedule.warmup_epochs"] = 0.0  # may be longer than the training
    config = recipes.load(recipe, **length, log_every=max(1, steps // _WINDOWS), **changes)
    speeds: dict[str, list[float]] = {"loop": [], "step": [], "fixed": []}
    # Programs are kept, because every training would compile its step anew.
    with tempfile.TemporaryDirectory() as folder, _keeping_programs(folder):
        experiment = Experiment.build(config)
        with experiment.train:
            feed, batch = next(experiment.train.feeds(0)), first_batch(experiment)
            states = {"step": experiment.create_state(), "fixed": experiment.create_state()}
            feeds = {"step": feed, "fixed": batch}
            compiled = {
                "step": experiment.train_step().lower(states["step"], feed).compile(),
                "fixed": bare_step(experiment).lower(states["fixed"], batch).compile(),
            }
            for name, program in compiled.items():
                states[name] = run(program, states[name], feeds[name], 2)
            for number in output.progress(range(rounds), f"loop of {recipe}"):
                speeds["loop"].append(_train(config, Path(folder, str(number))))
                for name, program in compiled.items():
                    start = time.perf_counter()
                    states[name] = run(program, states[name], feeds[name], steps)
                    seconds = time.perf_counter() - start
                    speeds[name].append(steps * config.batch_size / seconds)
    return _row(recipe, config, speeds)


@contextlib.contextmanager
def _keeping_programs(folder: str) -> Iterator[None]:
    import jax
    from jax.experimental.compilation_cache import compilation_cache as cache

    from chanattn.training import compilation_cache

    before = {name: getattr(jax.config, name) for name in compilation_cache.settings(folder)}
    compilation_cache.enable(folder)
    try:
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
        cache.reset_cache()


def _train(config: ConfigDict, workdir: Path) -> float:
    """Images/s of a training, by its log."""
    from chanattn.training.loop import train_and_evaluate
    from chanattn.training.metrics_log import read_metrics

    with contextlib.redirect_stdout(io.StringIO()):
        train_and_evaluate(config, workdir)
    lines = [line for line in read_metrics(workdir) if line["split"] == "train"]
    return statistics.harmonic_mean([line["images_per_second"] for line in lines[1:]])


def _row(recipe: str, config: ConfigDict, speeds: dict[str, list[float]]) -> dict[str, Any]:
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    return {
        "recipe": recipe,
        "batch": config.batch_size,
        "precision": config.precision,
        "rounds": len(speeds["loop"]),
        **{f"{name}_images_per_s": value for name, value in medians.items()},
        "loop_over_step": medians["loop"] / medians["step"],
        "loop_over_fixed": medians["loop"] / medians["fixed"],
        "spread_loop": [min(speeds["loop"]), max(speeds["loop"])],
    }


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags of this program."""
    v: Any = {"flag_values": values}
    flags.DEFINE_string("recipes", "digits,resnet20", f"of {', '.join(recipes.RECIPES)}", **v)
    flags.DEFINE_integer("steps", 64, "of each part of a round", lower_bound=2 * _WINDOWS, **v)
    flags.DEFINE_integer("rounds", 5, "how often the parts take turns", lower_bound=1, **v)
    cli.define_path("json", None, "file to write", **v)


if __name__ == "__main__":
    define_flags()
    cli.run(main)
