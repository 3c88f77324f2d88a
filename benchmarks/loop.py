"""Loop efficiency: images/s of `train.py`'s loop against its bare step, in turns.

    python -m benchmarks.loop --recipes=digits,resnet20 --rounds=5 --json=loop.json

Three speeds of one recipe in one process: `loop`, a whole training as `train.py` runs it, with logging (from
its metrics.jsonl; compilation, evaluation and saving left out as there); `step`, its compiled step on the
same feed again and again, as many in a call as one feed is for; `fixed`, that step on a batch prepared once,
so without shuffling and augmentation, one a call.
"""

import contextlib
import io
import statistics
import tempfile
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict

from benchmarks import recipes, results
from chanattn import cli

_WINDOWS = 4  # log points of a training; the first is left out, in which the device warms up


def main() -> None:
    """Measures as the flags say."""
    from chanattn.training import compilation_cache

    values = flags.FLAGS
    chosen = recipes.names(values.recipes)
    with tempfile.TemporaryDirectory() as folder:
        compilation_cache.enable(folder)  # every training would compile its step anew
        rows = [measure(name, values.steps, values.rounds) for name in chosen]
    results.report("loop", rows, values.json)


def measure(recipe: str, steps: int, rounds: int, **changes: Any) -> dict[str, Any]:
    """One recipe: medians over rounds, and the ratios of the medians.

    Args:
        recipe: its name.
        steps: of each of the three in every round.
        rounds: how often they take turns.
        **changes: of the recipe's config, by dotted path.
    """
    from benchmarks.ours import bare_step, first_batch
    from chanattn.analysis.timing import Repeated, Spread, Timed, take_turns
    from chanattn.training.experiment import Experiment

    length = {"steps": steps, "epochs": 0.0, "eval_every": steps, "checkpoint_every": steps}
    length["schedule.warmup_epochs"] = 0.0  # may be longer than the training
    config = recipes.load(recipe, log_every=max(1, steps // _WINDOWS), **length, **changes)
    experiment = Experiment.build(config)
    with tempfile.TemporaryDirectory() as folder, experiment.train:
        feed, batch = next(experiment.train.feeds(0)), first_batch(experiment)
        state, other = experiment.create_state(), experiment.create_state()
        step = experiment.train_step().lower(state, feed).compile()
        fixed = bare_step(experiment).lower(other, batch).compile()
        programs: dict[str, Timed] = {
            "loop": _Training(config, Path(folder)),
            "step": Repeated(
                lambda state, steps: step(state, feed, steps),
                state,
                at_once=experiment.train.steps_alike(0) if step.repeats else 1,
            ),
            "fixed": Repeated(lambda state: fixed(state, batch), other),
        }
        turns = take_turns(programs, rounds=rounds, seconds=0.0, least_steps=steps)
    rates = {
        name: Spread.of([config.batch_size / each for each in turn.seconds])
        for name, turn in turns.items()
    }
    return {
        "recipe": recipe,
        "batch": config.batch_size,
        "precision": config.precision,
        "rounds": rounds,
        **{f"{name}_images_per_s": rate.median for name, rate in rates.items()},
        "loop_over_step": rates["loop"].median / rates["step"].median,
        "loop_over_fixed": rates["loop"].median / rates["fixed"].median,
        "spread_loop": [rates["loop"].low, rates["loop"].high],
    }


class _Training:
    """A training that takes turns with programs; it has its own length, whatever it is asked for."""

    def __init__(self, config: ConfigDict, folder: Path) -> None:
        self._config, self._folder, self._runs = config, folder, 0

    def run(self, steps: int) -> float:
        """Seconds of so many steps at the speed of a whole training, by its log."""
        from chanattn.runs.metrics_log import read_metrics
        from chanattn.training.loop import train_and_evaluate
        from chanattn.training.mesh import setup

        self._runs += 1
        workdir = self._folder / str(self._runs)
        with contextlib.redirect_stdout(io.StringIO()):
            train_and_evaluate(self._config, workdir)
        setup(self._config)  # what a training has put back, the programs after it want too
        lines = [line for line in read_metrics(workdir) if line["split"] == "train"]
        return steps / statistics.harmonic_mean([line["steps_per_second"] for line in lines[1:]])


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
