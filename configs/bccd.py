"""Detection of blood cells, BCCD at 240x320: ResNet-10-T, a pyramid and FCOS, from nothing or from weights.

    python train.py --config=configs/bccd.py --workdir=runs/bccd
    python train.py --config=configs/bccd.py:eca --workdir=runs/bccd-eca
    python train.py --config=configs/bccd.py --workdir=runs/tuned --config.model.init=WEIGHTS \
        --config.model.name=tf_efficientnet_lite0 --config.optimizer.learning_rate=1e-3

The data is a TFDS set in `--config.dataset.data_dir` or $TFDS_DATA_DIR: 205 pictures to train on, 87 to
choose by (`validation`) and 72 to report (`python eval.py --workdir=RUN --split=test`); red and white cells
and platelets (https://github.com/Shenggan/BCCD_Dataset). Pictures are half as large as they are stored, and
boxes are scored in the stored ones. The argument names the attention of the backbone. Three levels are
enough, because no cell is larger than half the picture; their limits of 40 and 80 pixels lie between the
sizes of the kinds. The rest is our own choice too. On test the first command reaches AP 0.589 and AP50 0.896,
the last AP 0.582 and AP50 0.898 (one seed each, `results/bccd` and `results/bccd_lite0`).
"""

from ml_collections import ConfigDict

from configs import base


def get_config(attention: str = "identity") -> ConfigDict:
    """The recipe with the attention of that name in the backbone."""
    c = base.get_config()
    c.epochs = 40
    c.batch_size = 8
    c.log_every = 25  # one epoch
    c.eval_every = 250
    c.checkpoint_every = 250
    c.checkpoint.keep_best = 1

    c.dataset.name = "bccd"
    c.dataset.eval_split = "validation"
    c.dataset.image_size = (240, 320)
    c.dataset.most_boxes = 32
    c.dataset.mean = (0.74, 0.70, 0.72)
    c.dataset.std = (0.06, 0.10, 0.08)
    c.dataset.augment.random_scale = (0.75, 1.5)
    c.dataset.augment.flip = True
    c.dataset.augment.color_jitter = 0.2

    c.task.name = "detection"
    c.task.strides = (8, 16, 32)
    c.task.ranges = (40.0, 80.0)
    c.model.name = "resnet10t"
    c.model.head_width = 64
    c.model.attention.name = attention

    c.optimizer.name = "adamw"
    c.optimizer.learning_rate = 2e-3
    c.optimizer.weight_decay = 0.01
    c.optimizer.clip_norm = 10.0
    c.schedule.warmup_epochs = 3.0
    c.ema.decay = 0.99
    return c
