"""Says what a trained network sees on pictures of your own.

    python predict.py --workdir=runs/digits three.png scans/ 'more/*.jpg'
    python predict.py --workdir=runs/mine --top=3 --json=answers.json --save=drawn photos/

A folder stands for all pictures below it. Pictures are prepared as those of the run's evaluation, by the same
code, from any size and kind; the orientation that cameras note in EXIF is ignored, as it is there. The data
set of the run need not be there.

With PyTorch weights, and the names of their classes as a JSON list unless the config's data set has them:

    python predict.py --config=configs/cifar10.py:identity --weights=resnet20.safetensors cat.jpg

A picture that cannot be read is named, and the others are answered. Exit codes: 0 all pictures answered, 2
bad flags, or some pictures could not be read, 1 anything else.
"""

import sys
from typing import Any

from absl import flags

from chanattn import checkpoint_flags, cli
from chanattn.checkpoint_flags import EMA, RAW, STEP
from chanattn.errors import UsageError

WORKDIR = cli.define_path("workdir", None, "run directory")
flags.adopt_module_key_flags(checkpoint_flags)
WEIGHTS = cli.define_path(
    "weights", None, "FILE.safetensors of a PyTorch network; with --config=FILE, without --workdir"
)
CLASSES = cli.define_path(
    "classes",
    None,
    "names of the classes of --weights, a JSON list; default: those of the data set",
)
ALLOW_PICKLE = flags.DEFINE_bool(
    "allow_pickle", False, "read --weights from a pickle (.pth, .pt, .bin) too, tensors alone"
)
TOP = flags.DEFINE_integer(
    "top",
    None,
    "how many classes, or objects, are told of each picture; default: 5 classes, all objects; of captions "
    "there is one",
    lower_bound=1,
)
JSON = cli.define_path("json", None, "write the answers, and how they were made, to this file")
SAVE = cli.define_path("save", None, "folder: draw each picture with its answer")
BATCH_SIZE = flags.DEFINE_integer("batch_size", None, "at most; default: that of the training")
PLATFORM = flags.DEFINE_string(
    "platform", None, "auto | cpu | gpu | tpu; default: that of the training"
)


def main(*arguments: Any) -> None:
    """Predicts on the pictures named, which come last; before them, for --weights, a config."""
    *configs, named = arguments
    config = configs[0] if configs else None
    step, ema = checkpoint_flags.chosen()
    _check_which(config is not None)
    from chanattn.prediction import Predictor, output
    from chanattn.prediction.files import find
    from chanattn.runs.classes import read_names

    files = find(named)
    output.check(JSON.value, SAVE.value)
    fields = {"batch_size": BATCH_SIZE.value, "platform": PLATFORM.value}
    overrides: dict[str, Any] = {path: value for path, value in fields.items() if value is not None}
    if WORKDIR.value:
        predictor = Predictor(WORKDIR.value, step=step, ema=ema, **overrides)
    else:
        predictor = Predictor.from_weights(
            config,
            WEIGHTS.value or "",
            class_names=None if CLASSES.value is None else read_names(CLASSES.value),
            allow_pickle=ALLOW_PICKLE.value,
            **overrides,
        )
    output.predict(predictor, files, top=TOP.value, json=JSON.value, save=SAVE.value)


def _check_which(config: bool) -> None:
    """Either a run, or a config and weights, with nothing that belongs to the other."""
    if config != (WEIGHTS.value is not None):
        raise UsageError(
            "--config=FILE and --weights=FILE.safetensors go together; a run in --workdir has its own"
        )
    if not config and not WORKDIR.value:
        raise UsageError(
            "--workdir=RUN is required, or --config=FILE with --weights=FILE.safetensors"
        )
    for holder in (WORKDIR, STEP, EMA, RAW) if config else (ALLOW_PICKLE, CLASSES):
        if holder.present:
            other = "runs; leave it out with --weights" if config else "--weights"
            raise UsageError(f"--{holder.name} is for {other}")


if __name__ == "__main__":
    cli.run(main, config=cli.gives_config(sys.argv), positionals=True)
