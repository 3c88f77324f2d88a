"""ResNet-20 on CIFAR-10, the recipe of the ResNet paper.

    python train.py --config=configs/cifar10.py:eca --workdir=runs/cifar10-eca
    python train.py --config=configs/cifar10.py:identity --workdir=runs/cifar10-plain

Prepare the data first: `python -m chanattn.data.prepare cifar10`. The argument names the attention.
All hyper-parameters are those of https://arxiv.org/abs/1512.03385, section 4.2: batches of 128, 64,000
steps, rate 0.1 divided by 10 at half and three quarters, padding by 4 with random crop, flip. That
paper reports 8.75 % test error without attention.
"""

from ml_collections import ConfigDict

from configs import base


def get_config(attention: str = "se") -> ConfigDict:
    """The recipe with the attention of that name."""
    c = base.get_config()
    c.steps = 64_000
    c.batch_size = 128
    c.log_every = 100

    c.dataset.name = "cifar10"
    c.dataset.mean = (0.4914, 0.4822, 0.4465)
    c.dataset.std = (0.2470, 0.2435, 0.2616)
    c.dataset.augment.pad_crop = 4
    c.dataset.augment.flip = True

    c.model.name = "resnet20"
    c.model.zero_init_residual = False
    c.model.attention.name = attention

    c.optimizer.learning_rate = 0.1
    c.optimizer.nesterov = False
    c.optimizer.weight_decay = 1e-4

    c.schedule.name = "step"
    c.schedule.boundaries = (0.5, 0.75)
    c.schedule.factor = 0.1
    return c
