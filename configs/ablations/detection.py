"""Detection: attention in the backbone, in the laterals of the pyramid. One table each.

    python -m chanattn.sweep --config=configs/ablations/detection.py:tiny --workdir=SWEEP
    python -m chanattn.sweep --config=configs/ablations/detection.py:bccd --workdir=SWEEP
    python -m chanattn.sweep --config=configs/ablations/detection.py:bccd-neck --workdir=NECK
    python -m chanattn.sweep --config=configs/ablations/detection.py:coco --workdir=COCO

The argument is a scale, and by choice a table: `backbone`, which is the one without a name, or `neck`. At
`tiny`, shapes that the package draws itself are learnt for minutes. At `bccd`, the pictures of blood cells
are three quarters as large as those of `configs/bccd.py`, for training and evaluation alike, and there are
fewer epochs, so that variants times seeds are affordable on two cores; AP, of the test split after the last
step, is then no figure to compare with others. At `coco` stand the published figures, all of networks that
were trained on ImageNet with their attention, in detectors with anchors: compare the order of the variants.
With `--config.model.init=WEIGHTS` all begin with the same weights, to which
`--config.model.attention.start=identity` adds the mechanisms.
"""

import dataclasses

from ml_collections import ConfigDict

from chanattn.sweep import Published, Sweep
from configs import bccd, coco, shapes_detection
from configs.ablations import scales
from configs.ablations.overrides import NONE, attention

SCALES = ("tiny", "bccd", "coco")
MECHANISMS = ("se", "eca", "gc", "cbam", "fca")
_RESNET50 = "ResNet-50, COCO val2017, trained on train2017 for 12 epochs with MMDetection"
_OWN = "MMDetection's own training, batch norms over all devices, which has another plain network."
PUBLISHED = (
    Published(
        source="FcaNet, ICCV 2021, table 2",
        setting=f"Faster R-CNN, {_RESNET50}",
        metric="box AP, %",
        values={"none": 36.4, "se": 37.7, "eca": 38.0, "fca": 39.0},
        higher_is_better=True,
    ),
    Published(
        source="FcaNet, ICCV 2021, table 2",
        setting=f"Mask R-CNN, {_RESNET50}",
        metric="box AP, %",
        values={"none": 37.2, "se": 38.7, "eca": 39.0, "gc": 39.4, "fca": 40.3},
        higher_is_better=True,
    ),
    Published(
        source="ECA-Net, CVPR 2020, table of COCO results",
        setting=f"RetinaNet, {_RESNET50}",
        metric="box AP, %",
        values={"none": 35.6, "se": 37.1, "eca": 37.3},
        higher_is_better=True,
    ),
    Published(
        source="EPSANet, README of the authors' code (murufeng/EPSANet)",
        setting=f"Faster R-CNN, {_RESNET50}",
        metric="box AP, %",
        values={"none": 36.4, "epsa": 39.2},
        higher_is_better=True,
        note="The same with Mask R-CNN: 37.2 and 40.0.",
    ),
    Published(
        source="MMDetection, configs/gcnet",
        setting="Mask R-CNN, ResNet-50 with GC blocks (ratio 1/16) in the last three stages, COCO val2017",
        metric="box AP, %",
        values={"none": 38.4, "gc": 40.4},
        higher_is_better=True,
        note=f"{_OWN} With a ratio of 1/4: 40.7.",
    ),
    Published(
        source="ResNeSt, arXiv:2004.08955v1, table 5",
        setting="Faster R-CNN, ResNet-50 against ResNeSt-50, COCO val2017",
        metric="box AP, %",
        values={"none": 39.25, "splat": 42.33},
        higher_is_better=True,
        note="ResNeSt-50 has a deep stem and average pooling besides; the row `splat` has not.",
    ),
)
#: Of `coco` alone: they replace convolutions, so that no plain network is inside of them.
CONVOLUTIONS = {"epsa": attention("epsa"), "splat": attention("splat")}
TABLES = {
    "backbone": Sweep(
        title="Detection: attention in the backbone",
        note="Does attention among channels of the backbone help to find objects?",
        variants={"none": NONE, **{name: attention(name) for name in MECHANISMS}},
        baseline="none",
        seeds=3,
    ),
    "neck": Sweep(
        title="Detection: attention in the pyramid",
        note="Does attention among channels help on the laterals of the pyramid?",
        variants={
            "none": NONE,
            **{name: attention(name, placement="neck") for name in MECHANISMS},
        },
        baseline="none",
        seeds=3,
    ),
}


def get_config(argument: str = "tiny") -> ConfigDict:
    """The recipe that all variants of a table share, without attention.

    Raises:
        UsageError: there is no such scale or table.
    """
    scale, _ = parse(argument)
    recipe = {"tiny": shapes_detection, "bccd": bccd, "coco": coco}[scale]
    c = recipe.get_config("identity")
    if scale == "tiny":
        c.epochs = 4.0
    elif scale == "bccd":
        c.epochs = 12.0
        c.eval_every = 300  # the end, where nothing is chosen by it
        c.checkpoint_every = 150
        c.dataset.eval_split = "test"
        c.dataset.image_size = (180, 240)
        c.task.ranges = (30.0, 60.0)
    return c


def sweep(argument: str = "tiny") -> Sweep:
    """The table that the argument names.

    Raises:
        UsageError: as `get_config`.
    """
    scale, table = parse(argument)
    found = TABLES[table]
    if scale == "coco" and table == "backbone":
        variants = {**found.variants, **CONVOLUTIONS}
        return dataclasses.replace(found, variants=variants, published=PUBLISHED)
    return found


def parse(argument: str) -> tuple[str, str]:
    """Scale and table of `bccd-neck`; the table is `backbone` unless there is one.

    Raises:
        UsageError: there is no such scale or table.
    """
    return scales.parse_table(argument, SCALES, tuple(TABLES))
