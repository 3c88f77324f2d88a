"""The flags that choose a checkpoint of a run and its weights, for all command lines that read one."""

from absl import flags

from chanattn.errors import UsageError

STEP = flags.DEFINE_string("step", None, "checkpoint: a number or best; default: the newest")
EMA = flags.DEFINE_bool(
    "ema", False, "moving averages of the weights; default: if the run has them"
)
RAW = flags.DEFINE_bool("raw", False, "the weights themselves, although the run has averages")


def chosen() -> tuple[int | str | None, bool | None]:
    """The step and whether to take averages, as `chanattn.training.evaluate.evaluate_run` takes them.

    Raises:
        UsageError: the flags exclude each other, or the step is none.
    """
    if EMA.value and RAW.value:
        raise UsageError("--ema and --raw exclude each other")
    return step_of(STEP.value), EMA.value if EMA.value or RAW.value else None


def step_of(given: str | None) -> int | str | None:
    """The value of `--step`: a number, "best", or None for the newest checkpoint.

    Raises:
        UsageError: it is none of these.
    """
    if given is None or given == "best":
        return given
    if not given.isdecimal():
        raise UsageError(f"--step must be a number or best, not {given!r}")
    return int(given)
