"""Semantic segmentation of CamVid, 360x480: ResNet-10-T and a semantic FPN, from nothing or from weights.

    python train.py --config=configs/camvid.py --workdir=runs/camvid
    python train.py --config=configs/camvid.py:eca --workdir=runs/camvid-eca
    python train.py --config=configs/camvid.py --workdir=runs/tuned --config.model.init=WEIGHTS \
        --config.model.name=tf_efficientnet_lite0 --config.optimizer.learning_rate=1e-3 --config.epochs=30

The data is a TFDS set in `--config.dataset.data_dir` or $TFDS_DATA_DIR: 367 pictures to train on, 101 to
choose by (`validation`, which flatters) and 233 to report (`python eval.py --workdir=RUN --split=test`); 11
classes (Brostow, Fauqueur, Cipolla 2009, as SegNet divides them). The argument names the attention of the
backbone. The first command reaches a mIoU of 0.522 on test, the last 0.607 (one seed each, `results/camvid`
and `results/camvid_lite0`). AdamW with a
rate that falls to nothing trains small networks from nothing sooner than SGD; scales and flips are those of
DeepLab (arXiv:1706.05587, section 4.1); the rest is our own choice.
"""

from ml_collections import ConfigDict

from configs import base


def get_config(attention: str = "identity") -> ConfigDict:
    """The recipe with the attention of that name in the backbone."""
    c = base.get_config()
    c.epochs = 70
    c.batch_size = 8
    c.log_every = 45  # one epoch
    c.eval_every = 450
    c.checkpoint_every = 450
    c.checkpoint.keep_best = 1

    c.dataset.name = "camvid"
    c.dataset.eval_split = "validation"
    c.dataset.mean = (0.41, 0.43, 0.43)
    c.dataset.std = (0.3, 0.31, 0.3)
    c.dataset.augment.random_scale = (0.5, 2.0)
    c.dataset.augment.crop = (240, 320)
    c.dataset.augment.max_class_share = 0.75
    c.dataset.augment.flip = True
    c.dataset.augment.color_jitter = 0.5

    c.task.name = "segmentation"
    c.task.class_weights = "sqrt_median"
    c.model.name = "resnet10t"
    c.model.attention.name = attention

    c.optimizer.name = "adamw"
    c.optimizer.learning_rate = 2e-3
    c.optimizer.weight_decay = 0.01
    c.schedule.name = "polynomial"
    c.schedule.power = 0.9
    c.schedule.warmup_epochs = 2.0
    c.ema.decay = 0.99
    return c
