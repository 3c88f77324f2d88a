"""ResNet-8 with SE on Fashion-MNIST: 60,000 grey 28x28 pictures of clothes, 10 classes.

    python train.py --config=configs/fashion_mnist.py --workdir=runs/fashion
    python train.py --config=configs/fashion_mnist.py:identity --workdir=runs/plain --config.epochs=3

Prepare the data first: `python -m chanattn.data.prepare fashion_mnist`. The argument names the
attention. Batch, learning rate, momentum, weight decay, crop and flip are those of the Fashion-MNIST
experiments of Random Erasing, https://arxiv.org/abs/1708.04896, section 4; the cosine schedule
(https://arxiv.org/abs/1608.03983) makes 30 epochs do.
"""

from ml_collections import ConfigDict

from configs import base


def get_config(attention: str = "se") -> ConfigDict:
    """The recipe with the attention of that name."""
    c = base.get_config()
    c.epochs = 30
    c.batch_size = 128

    c.dataset.name = "fashion_mnist"
    c.dataset.mean = (0.2860,) * 3
    c.dataset.std = (0.3530,) * 3
    c.dataset.augment.pad_crop = 4
    c.dataset.augment.flip = True

    c.model.name = "resnet8"
    c.model.attention.name = attention

    c.optimizer.learning_rate = 0.1
    c.optimizer.nesterov = False
    c.optimizer.weight_decay = 5e-4
    return c
