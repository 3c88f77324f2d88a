"""SE-ResNet-8 on handwritten digits: 1,797 real 8x8 pictures that ship inside scikit-learn.

    python train.py --config=configs/digits.py --workdir=runs/digits
    python train.py --config=configs/digits.py:identity --workdir=runs/plain

Needs no download, and seconds on a CPU. The argument names the attention; `identity` is none. The
network is the CIFAR ResNet of https://arxiv.org/abs/1512.03385, section 4.2, with n = 1; SGD, weight
decay and cosine as in https://arxiv.org/abs/1812.01187, section 5; the rest is our own choice.
"""

from ml_collections import ConfigDict

from configs import base


def get_config(attention: str = "se") -> ConfigDict:
    """The recipe with the attention of that name."""
    c = base.get_config()
    c.epochs = 24
    c.batch_size = 64
    c.log_every = 22  # one epoch
    c.eval_every = 88
    c.checkpoint_every = 528  # the last step: a start takes as long as all before it

    c.dataset.name = "digits"
    c.dataset.mean = (0.305,) * 3
    c.dataset.std = (0.376,) * 3
    c.dataset.augment.pad_crop = 1

    c.model.name = "resnet8"
    c.model.zero_init_residual = False  # three blocks need no help to begin, and learn sooner
    c.model.attention.name = attention

    c.optimizer.learning_rate = 0.1
    c.schedule.warmup_epochs = 1.0
    return c
