"""Evaluates a run directory, or weights from elsewhere.

    python eval.py --workdir=runs/digits
    python eval.py --workdir=runs/digits --step=400 --raw --split=train
    python eval.py --workdir=runs/digits --step=best
    python eval.py --workdir=runs/cifar10-eca --dataset=cifar10_1

Prints a table and writes RUN/evaluation/<name>.json with the confusion matrix as a picture beside it; of a
segmentation also a bar for the IoU of each class, and examples with labels and predictions; of a detection
bars for the average precision, precision against recall, examples with boxes, and the JSON of COCO; of a
captioning examples with what was looked at for every word, and the JSON of COCO.

    python eval.py --workdir=runs/told --baselines

tells what captions of the training split would score: a random one, the best for all, and that of the nearest
picture.

Averaged over mirrored pictures and several scales, and large pictures in windows, for every task that can:

    python eval.py --workdir=runs/camvid --split=test --flip --scales=0.75,1,1.25
    python eval.py --workdir=runs/streets --window=512x512

PyTorch weights, with timm's names or the authors', in the network and on the data of a config; written to
--output=DIR where that is given:

    python eval.py --config=configs/cifar10.py:identity --weights=resnet20.safetensors --output=runs/imported

Exit codes: 0 done, 2 bad flags, 1 anything else.
"""

import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from absl import flags

from chanattn import checkpoint_flags, cli
from chanattn.checkpoint_flags import EMA, RAW, STEP
from chanattn.errors import UsageError

if TYPE_CHECKING:
    from ml_collections import ConfigDict

    from chanattn.training.views import Views

WORKDIR = cli.define_path("workdir", None, "run directory")
flags.adopt_module_key_flags(checkpoint_flags)
WEIGHTS = cli.define_path(
    "weights", None, "FILE.safetensors of a PyTorch network; with --config=FILE, without --workdir"
)
ALLOW_PICKLE = flags.DEFINE_bool(
    "allow_pickle", False, "read --weights from a pickle (.pth, .pt, .bin) too, tensors alone"
)
FLIP = flags.DEFINE_bool("flip", False, "average over each picture and its mirror image")
SCALES = flags.DEFINE_list("scales", ["1"], "average over pictures of these sizes: 0.75,1,1.25")
WINDOW = flags.DEFINE_string(
    "window", None, "HxW: take larger pictures in windows of that size (segmentation)"
)
BASELINES = flags.DEFINE_bool(
    "baselines", False, "evaluate guesses from the training split too (captioning)"
)
OUTPUT = cli.define_path("output", None, "folder for the evaluation of --weights")
SPLIT = flags.DEFINE_string("split", None, "split; default: the run's eval_split")
DATASET = flags.DEFINE_string("dataset", None, "another data set with the same classes")
DATA_DIR = cli.define_path("data_dir", None, "where the data set lies")
BATCH_SIZE = flags.DEFINE_integer("batch_size", None, "default: that of the training")
PLATFORM = flags.DEFINE_string(
    "platform", None, "auto | cpu | gpu | tpu; default: that of the training"
)


def main(config: "ConfigDict | None" = None) -> None:
    """Evaluates as the flags say; with a config, weights that belong to no run."""
    step, ema = checkpoint_flags.chosen()
    fields = {
        "dataset.eval_split": SPLIT.value,
        "dataset.name": DATASET.value,
        "dataset.data_dir": None if DATA_DIR.value is None else str(DATA_DIR.value.absolute()),
        "batch_size": BATCH_SIZE.value,
        "platform": PLATFORM.value,
    }
    overrides = {path: value for path, value in fields.items() if value is not None}
    if WEIGHTS.value is not None or config is not None:
        _evaluate_weights(config, overrides)
        return
    for holder in (ALLOW_PICKLE, OUTPUT):
        if holder.present:
            raise UsageError(f"--{holder.name} is for --weights; a run writes to RUN/evaluation")
    if not WORKDIR.value:
        raise UsageError(
            "--workdir=RUN is required, or --config=FILE with --weights=FILE.safetensors"
        )
    from chanattn.prediction.samples import draw_samples_of_evaluation
    from chanattn.report.evaluation_table import show
    from chanattn.report.run_pictures import draw_evaluation
    from chanattn.training.evaluate import evaluate_run

    views = _views()
    result = evaluate_run(
        WORKDIR.value, step=step, ema=ema, views=views, baselines=BASELINES.value, **overrides
    )
    pictures = draw_evaluation(result["json"])
    if not views.changes():  # samples are answers on whole pictures
        pictures |= draw_samples_of_evaluation(result, overrides)
    show(result | pictures)


def _views() -> "Views":
    from chanattn.training.views import Views

    try:
        scales = tuple(float(scale) for scale in SCALES.value)
    except ValueError:
        raise UsageError(
            f"--scales must be numbers with commas between them, as in 0.75,1,1.25, not {SCALES.value}"
        ) from None
    window = None
    if WINDOW.value is not None:
        given = re.fullmatch(r"(\d+)x(\d+)", WINDOW.value)
        if given is None:
            raise UsageError(
                f"--window must be a height and a width, as in 360x480, not {WINDOW.value!r}"
            )
        window = int(given[1]), int(given[2])
    return Views(FLIP.value, scales, window)


def _evaluate_weights(config: "ConfigDict | None", overrides: Mapping[str, object]) -> None:
    if not WEIGHTS.value:
        raise UsageError(
            "--config goes with --weights=FILE.safetensors; a run in --workdir has its own config"
        )
    if config is None:
        raise UsageError("--weights needs --config=FILE: the network and the data set")
    for holder in (WORKDIR, STEP, EMA, RAW, BASELINES):
        if holder.present:
            raise UsageError(f"--{holder.name} is for runs; leave it out with --weights")
    from chanattn.report.evaluation_table import show
    from chanattn.report.run_pictures import draw_evaluation
    from chanattn.training.evaluate_weights import evaluate_weights

    result = evaluate_weights(
        config,
        WEIGHTS.value,
        allow_pickle=ALLOW_PICKLE.value,
        output=OUTPUT.value,
        views=_views(),
        **overrides,
    )
    show(result | draw_evaluation(result["json"]) if "json" in result else result)


if __name__ == "__main__":
    cli.run(main, config=cli.gives_config(sys.argv))
