"""Captioning: what the decoder attends to, places, channels or both, and whether it has to be asked.

    python -m chanattn.sweep --config=configs/ablations/captioning.py:tiny --workdir=SWEEP
    python -m chanattn.sweep --config=configs/ablations/captioning.py:shapes --workdir=SWEEP
    python -m chanattn.sweep --config=configs/ablations/captioning.py:shapes-condition --workdir=CONDITION
    python -m chanattn.sweep --config=configs/ablations/captioning.py:coco --workdir=COCO

The argument is a scale, and by choice a table: `attention`, which is the one without a name, or `condition`.
At `tiny` and `shapes`, shapes that the package draws itself are told: at `tiny` for minutes, at `shapes` by
`configs/shapes_captioning.py`. `coco` takes `--config.dataset.data_dir=DIR`, a folder with COCO's pictures
and Karpathy's JSON, and `--config.model.init=WEIGHTS`, a ResNet-152 from ImageNet, which is not trained on.
Its settings are those of SCA-CNN (arXiv:1611.05594 and the authors' code): 224 pixels, 1,000 units, words of
width 100, an attention of 512, a context of length 1, dropout 0.5, batches of 64, a beam of 5 and at most 30
words. AdamW with its rate, and 20 epochs, are our own choice; the authors had Adadelta and stopped early.

`spatial` is the attention of Show, Attend and Tell (arXiv:1502.03044) in this decoder; `channel`, `cs` and
`sc` are SCA-CNN's, by the order of its two; `_2` has two layers of it, and with them a bottleneck block more
(docs/captioning.md). In `condition`, `_cut` is the same attention that is not told the state of the decoder,
and therefore sees the same at every word.
"""

import dataclasses

from ml_collections import ConfigDict

from chanattn.sweep import Published, Sweep
from configs import coco_captions, shapes_captioning
from configs.ablations import scales
from configs.ablations.overrides import Overrides

SCALES = ("tiny", "shapes", "coco")
_QUOTED = "as the README of stevehuanghe/image_captioning quotes it"
PUBLISHED = (
    Published(
        source=f"SCA-CNN, CVPR 2017, {_QUOTED}",
        setting="ResNet-152, COCO, the authors' training",
        metric="BLEU-4, %",
        values={"cs_2": 31.1},
        higher_is_better=True,
        note="BLEU-1 to 3: 71.9, 54.8 and 41.1; METEOR: 25.0. The authors' code for COCO has two layers. The"
        " paper's tables 1 to 3, which compare the variants, could not be read, so that none of their figures"
        " stands here.",
    ),
    Published(
        source=f"Show, Attend and Tell, ICML 2015, soft attention, {_QUOTED}",
        setting="VGG, COCO, the authors' training",
        metric="BLEU-4, %",
        values={"spatial": 24.3},
        higher_is_better=True,
        note="BLEU-1 to 3: 70.7, 49.2 and 34.4; METEOR: 23.9. That decoder has a selector, sees the picture"
        " in its output and is punished for what it does not look at, which the row `spatial` is without.",
    ),
)


def decoder(attention: str, *, layers: int = 1, conditioned: bool = True) -> Overrides:
    """That attention in the decoder."""
    return {
        "task.attention": attention,
        "task.layers": layers,
        "task.conditioned": conditioned,
    }


TABLES = {
    "attention": Sweep(
        title="Captioning: attention of the decoder",
        note="Does attention to channels help to say what is in a picture, before or behind that to places?",
        variants={
            **{name: decoder(name) for name in ("none", "spatial", "channel", "cs", "sc")},
            **{f"{name}_2": decoder(name, layers=2) for name in ("spatial", "cs", "sc")},
        },
        baseline="none",
        seeds=3,
    ),
    "condition": Sweep(
        title="Captioning: attention without the decoder's state",
        note="Does it matter that attention knows what has been said?",
        variants={
            "cs": decoder("cs"),
            "cs_cut": decoder("cs", conditioned=False),
            "spatial": decoder("spatial"),
            "spatial_cut": decoder("spatial", conditioned=False),
            "none": decoder("none"),
        },
        baseline="cs",
        seeds=3,
    ),
}


def get_config(argument: str = "tiny") -> ConfigDict:
    """The recipe that all variants of a table share, without attention.

    Raises:
        UsageError: there is no such scale or table.
    """
    scale, _ = parse(argument)
    if scale == "coco":
        return _coco()
    c = shapes_captioning.get_config("none")
    if scale == "tiny":
        c.epochs = 4.0
    return c


def _coco() -> ConfigDict:
    """SCA-CNN's settings."""
    c = coco_captions.get_config("none")
    c.epochs = 20.0
    c.batch_size = 64
    c.log_every = 100
    c.eval_every = 0
    c.checkpoint_every = 0
    c.precision = "bfloat16"

    c.dataset.name = "folder"
    c.dataset.split = "train"
    c.dataset.eval_split = "val"
    c.dataset.least_count = 5
    c.dataset.most_words = 30
    c.dataset.mean = (0.485, 0.456, 0.406)
    c.dataset.std = (0.229, 0.224, 0.225)
    c.dataset.loader = "stream"
    c.dataset.workers = 16

    c.task.attention_width = 512
    c.task.embedding = 100
    c.task.unit_norm = True
    c.task.label_smoothing = 0.0
    c.task.beam = 5
    c.task.length_norm = "none"
    c.task.longest = 30
    c.model.name = "resnet152"
    c.model.head_width = 1000
    c.optimizer.learning_rate = 5e-4
    return c


def sweep(argument: str = "tiny") -> Sweep:
    """The table that the argument names.

    Raises:
        UsageError: as `get_config`.
    """
    scale, table = parse(argument)
    found = TABLES[table]
    if scale == "coco" and table == "attention":
        return dataclasses.replace(found, published=PUBLISHED)
    return found


def parse(argument: str) -> tuple[str, str]:
    """Scale and table of `shapes-condition`; the table is `attention` unless there is one.

    Raises:
        UsageError: there is no such scale or table.
    """
    return scales.parse_table(argument, SCALES, tuple(TABLES))
