"""ResNet-50 on ImageNet at 224 pixels, streamed: the 90-epoch baseline recipe.

    python train.py --config=configs/imagenet.py:se --workdir=runs/imagenet-se
    python train.py --config=configs/imagenet.py:splat --workdir=runs/split --config.batch_size=256

The data is a TFDS set in `--config.dataset.data_dir` or $TFDS_DATA_DIR; with the `prepare` extra, `python
-m chanattn.data.prepare imagenet2012` says how to get it and writes it. The argument names the attention. All
hyper-parameters are those of https://arxiv.org/abs/1706.02677, section 5.1: rate 0.1 for every 256
pictures of the batch, 5 epochs of warm-up, divided by 10 after 30, 60 and 80 of 90 epochs, Nesterov
momentum, weight decay 1e-4 but not on norms, last norm of every block from zero. The rate is not
scaled for you: with another batch size set --config.optimizer.learning_rate too.
"""

from ml_collections import ConfigDict

from configs import base


def get_config(attention: str = "se") -> ConfigDict:
    """The recipe with the attention of that name."""
    c = base.get_config()
    c.epochs = 90
    c.batch_size = 1024
    c.log_every = 100
    c.precision = "bfloat16"

    c.dataset.name = "imagenet2012"
    c.dataset.eval_split = "validation"
    c.dataset.image_size = 224
    c.dataset.mean = (0.485, 0.456, 0.406)
    c.dataset.std = (0.229, 0.224, 0.225)
    c.dataset.loader = "stream"
    c.dataset.workers = 16
    c.dataset.augment.random_resized_crop = True
    c.dataset.augment.eval_crop = 0.875  # 224 of 256
    c.dataset.augment.flip = True

    c.model.name = "resnet50"
    c.model.attention.name = attention

    c.optimizer.learning_rate = 0.4
    c.optimizer.weight_decay = 1e-4

    c.schedule.name = "step"
    c.schedule.boundaries = (30 / 90, 60 / 90, 80 / 90)
    c.schedule.factor = 0.1
    c.schedule.warmup_epochs = 5.0
    return c
