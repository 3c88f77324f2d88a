"""Evaluates a run directory.

    python eval.py --workdir=runs/digits
    python eval.py --workdir=runs/digits --step=400 --raw --split=train
    python eval.py --workdir=runs/digits --step=best
    python eval.py --workdir=runs/cifar10-eca --dataset=cifar10_1

Prints a table and writes RUN/evaluation/<name>.json with the confusion matrix as a picture beside it.
Exit codes: 0 done, 2 bad flags, 1 anything else.
"""

from absl import flags

from chanattn import cli
from chanattn.errors import UsageError

WORKDIR = flags.DEFINE_string("workdir", None, "run directory")
STEP = flags.DEFINE_string("step", None, "checkpoint: a number or best; default: the newest")
EMA = flags.DEFINE_bool(
    "ema", False, "moving averages of the weights; default: if the run has them"
)
RAW = flags.DEFINE_bool("raw", False, "the weights themselves, although the run has averages")
SPLIT = flags.DEFINE_string("split", None, "split; default: the run's eval_split")
DATASET = flags.DEFINE_string("dataset", None, "another data set with the same classes")
DATA_DIR = flags.DEFINE_string("data_dir", None, "where the data set lies")
BATCH_SIZE = flags.DEFINE_integer("batch_size", None, "default: that of the training")
PLATFORM = flags.DEFINE_string(
    "platform", None, "auto | cpu | gpu | tpu; default: that of the training"
)


def main() -> None:
    """Evaluates as the flags say."""
    if not WORKDIR.value:
        raise UsageError("--workdir=RUN is required")
    if EMA.value and RAW.value:
        raise UsageError("--ema and --raw exclude each other")
    step = _step()
    from chanattn.training.evaluate import evaluate_run, show

    fields = {
        "dataset.eval_split": SPLIT.value,
        "dataset.name": DATASET.value,
        "dataset.data_dir": DATA_DIR.value,
        "batch_size": BATCH_SIZE.value,
        "platform": PLATFORM.value,
    }
    overrides = {path: value for path, value in fields.items() if value is not None}
    ema = EMA.value if EMA.value or RAW.value else None
    show(evaluate_run(WORKDIR.value, step=step, ema=ema, **overrides))


def _step() -> int | str | None:
    given = STEP.value
    if given in {None, "best"}:
        return given
    if not given.isdecimal():
        raise UsageError(f"--step must be a number or best, not {given!r}")
    return int(given)


if __name__ == "__main__":
    cli.run(main)
