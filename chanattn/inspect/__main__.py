"""Asks what the attention of a trained network does, and writes numbers and a page.

    python -m chanattn.inspect runs/digits-se
    python -m chanattn.inspect runs/digits-se --step=best --split=test --resamples=1000
    python -m chanattn.inspect runs/imagenet-se --batches=4 --units=16

Do its weights depend on the picture, do they tell classes apart, do they rank channels by importance, what
does a channel see? Writes RUN/inspection/inspection.json with all numbers and index.html, a page to look
through. See docs/inspection.md.

Exit codes: 0 done, 2 bad flags, no such checkpoint, or a network without attention, 1 anything else.
"""

import statistics
import sys
import time
from collections import deque
from typing import Any

from absl import flags

from chanattn import checkpoint_flags, cli
from chanattn.duration import duration
from chanattn.errors import UsageError, visible
from chanattn.paths import to_path
from chanattn.streams import lasting_stdout

flags.adopt_module_key_flags(checkpoint_flags)
SPLIT = flags.DEFINE_string("split", None, "split; default: the run's eval_split")
BATCH_SIZE = flags.DEFINE_integer("batch_size", None, "default: that of the training")
PLATFORM = flags.DEFINE_string(
    "platform", None, "auto | cpu | gpu | tpu; default: that of the training"
)
SEED = flags.DEFINE_integer("seed", 0, "of everything that is drawn", lower_bound=0)
DRAWS = flags.DEFINE_integer(
    "draws", 3, "how often weights are exchanged and permuted", lower_bound=1
)
RESAMPLES = flags.DEFINE_integer(
    "resamples", 400, "of the bootstrap over pictures; from 20 for intervals", lower_bound=1
)
BATCHES = flags.DEFINE_integer(
    "batches", 8, "on which channels are knocked out; 0: all", lower_bound=0
)
UNITS = flags.DEFINE_integer(
    "units", 64, "channels of each module that are knocked out and shown", lower_bound=1
)
PICTURES = flags.DEFINE_integer("pictures", 12, "that are shown one by one", lower_bound=1)

_EVERY = 10.0  # seconds between lines
_ON_A_TERMINAL = 0.5


def main(runs: list[str]) -> None:
    """Inspects as the flags say."""
    if len(runs) != 1:
        raise UsageError("give the directory of one run: python -m chanattn.inspect RUN")
    step, ema = checkpoint_flags.chosen()
    fields = {
        "dataset.eval_split": SPLIT.value,
        "batch_size": BATCH_SIZE.value,
        "platform": PLATFORM.value,
    }
    overrides: dict[str, Any] = {p: value for p, value in fields.items() if value is not None}
    from chanattn.inspect.inspection import Effort
    from chanattn.inspect.run import inspect_run
    from chanattn.inspect.text import table
    from chanattn.inspect.thumbnails import thumbnails
    from chanattn.report.inspection_page import pictures_of, write_inspection_page

    effort = Effort(
        draws=DRAWS.value,
        resamples=RESAMPLES.value,
        batches=BATCHES.value or None,
        units=UNITS.value,
        pictures=PICTURES.value,
        seed=SEED.value,
    )
    told = _Told()
    found = inspect_run(runs[0], step=step, ema=ema, effort=effort, progress=told, **overrides)
    told.end()
    shown = thumbnails(found.source, pictures_of(found.inspection.values))
    try:
        page = write_inspection_page(to_path(runs[0]), found.inspection, shown)
    except OSError as error:
        raise UsageError(
            f"cannot write to {runs[0]}: {error.strerror}; free the place or its permissions"
        ) from error
    for line in (
        *table(found.inspection.values).split("\n"),
        f"wrote {found.json}",
        f"wrote {page}",
    ):
        print(visible(line))


class _Told:
    """Tells how far it is and how long it takes: one line on a terminal, lines elsewhere."""

    def __init__(self) -> None:
        self._stream = lasting_stdout()
        self._terminal = sys.stdout is not None and sys.stdout.isatty()
        self._shown = self._before = time.monotonic()
        self._took: deque[float] = deque(maxlen=100)

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        self._took.append(now - self._before)
        self._before = now
        if now - self._shown < (_ON_A_TERMINAL if self._terminal else _EVERY) or not total:
            return
        self._shown = now
        # The median: a few passes wait for their program to be compiled.
        left = statistics.median(self._took) * (total - done)
        line = f"{done} of {total} passes over a batch, {duration(left)} left"
        self._stream.write(f"\r\x1b[K{line}" if self._terminal else line + "\n")
        self._stream.flush()

    def end(self) -> None:
        """Leaves an empty line to go on."""
        if self._terminal:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


if __name__ == "__main__":
    cli.run(main, positionals=True)
