"""Pre-activation ResNet-164 on CIFAR-100, the recipe of the Wide ResNet paper.

    python train.py --config=configs/cifar100.py:se --workdir=runs/cifar100-se
    python train.py --config=configs/cifar100.py --workdir=runs/wrn --config.model.name=wide_resnet16_8

Prepare the data first: `python -m chanattn.data.prepare cifar100`. The argument names the attention.
All hyper-parameters are those of https://arxiv.org/abs/1605.07146, section 3, which fit plain and wide
networks: Nesterov momentum, batches of 128, 200 epochs, rate 0.1 multiplied by 0.2 after 60, 120 and
160 of them, weight decay 5e-4, padding by 4 with random crop, flip.
"""

from ml_collections import ConfigDict

from configs import base


def get_config(attention: str = "se") -> ConfigDict:
    """The recipe with the attention of that name."""
    c = base.get_config()
    c.epochs = 200
    c.batch_size = 128
    c.log_every = 100

    c.dataset.name = "cifar100"
    c.dataset.mean = (0.5071, 0.4865, 0.4409)
    c.dataset.std = (0.2673, 0.2564, 0.2762)
    c.dataset.augment.pad_crop = 4
    c.dataset.augment.flip = True

    c.model.name = "preact_resnet164"
    c.model.attention.name = attention

    c.optimizer.learning_rate = 0.1
    c.optimizer.weight_decay = 5e-4

    c.schedule.name = "step"
    c.schedule.boundaries = (0.3, 0.6, 0.8)
    c.schedule.factor = 0.2
    return c
