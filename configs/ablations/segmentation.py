"""Segmentation: attention in the backbone, in BiSeNet's neck, in U-Net's decoder. One table each.

    python -m chanattn.sweep --config=configs/ablations/segmentation.py:tiny --workdir=SWEEP
    python -m chanattn.sweep --config=configs/ablations/segmentation.py:camvid --workdir=SWEEP
    python -m chanattn.sweep --config=configs/ablations/segmentation.py:camvid-neck --workdir=NECK
    python -m chanattn.sweep --config=configs/ablations/segmentation.py:camvid-decoder --workdir=DECODER

The argument is a scale, and by choice a table: `backbone`, which is the one without a name, `neck` or
`decoder`. Each has its own baseline, without attention in that place. At `tiny`, shapes that the package
draws itself are learnt for minutes. At `camvid`, the pictures are half as large as those of
`configs/camvid.py`, for training and evaluation alike, the backbone is a ResNet-10-T, and there are fewer
epochs, so that variants times seeds are affordable on two cores; mIoU, of the test split after the last
step, is then no figure to compare with published ones. The neck's own mechanisms are BiSeNet's ARM and FFM
(arXiv:1808.00897); scSE (arXiv:1803.02579) sits in the decoder as segmentation_models_pytorch has it.
"""

from ml_collections import ConfigDict

from chanattn.sweep import Sweep
from configs import camvid, shapes_segmentation
from configs.ablations import scales
from configs.ablations.overrides import NONE, attention

SCALES = ("tiny", "camvid")
HEADS = {"backbone": "fpn", "neck": "bisenet", "decoder": "unet"}
TABLES = {
    "backbone": Sweep(
        title="Segmentation: attention in the backbone",
        note="Does attention among channels of the backbone help the class of every pixel?",
        variants={
            "none": NONE,
            **{name: attention(name) for name in ("se", "eca", "cbam", "simam", "gc")},
        },
        baseline="none",
        seeds=3,
    ),
    "neck": Sweep(
        title="Segmentation: attention in the neck of BiSeNet",
        note="Are ARM and FFM, made for this place, better there than none, SE or ECA?",
        variants={
            "none": attention("identity", placement="neck"),
            "arm_ffm": NONE,
            **{name: attention(name, placement="neck") for name in ("se", "eca")},
        },
        baseline="none",
        seeds=3,
    ),
    "decoder": Sweep(
        title="Segmentation: scSE in the decoder of U-Net",
        note="Does attention among channels and positions help the decoder?",
        variants={
            "none": NONE,
            "scse": attention("scse", placement="neck", combine="add", reduction=16),
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
    scale, table = parse(argument)
    if scale == "tiny":
        c = shapes_segmentation.get_config("identity")
        c.epochs = 4.0
    else:
        c = camvid.get_config("identity")
        c.epochs = 15.0
        c.eval_every = 675  # the end, where nothing is chosen by it
        c.checkpoint_every = 225  # five epochs
        c.dataset.eval_split = "test"
        c.dataset.image_size = (180, 240)
        c.dataset.augment.crop = (160, 224)
    c.model.head = HEADS[table]
    return c


def sweep(argument: str = "tiny") -> Sweep:
    """The table that the argument names.

    Raises:
        UsageError: as `get_config`.
    """
    return TABLES[parse(argument)[1]]


def parse(argument: str) -> tuple[str, str]:
    """Scale and table of `camvid-neck`; the table is `backbone` unless there is one.

    Raises:
        UsageError: there is no such scale or table.
    """
    return scales.parse_table(argument, SCALES, tuple(TABLES))
