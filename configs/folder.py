"""ResNet-18 on your own pictures: a folder with DIR/train/CLASS/*.jpg and DIR/test/CLASS/*.jpg.

    python train.py --config=configs/folder.py:eca --workdir=runs/mine --config.dataset.data_dir=DIR

The argument names the attention. Crops, cosine schedule with 5 epochs of warm-up, label smoothing 0.1
and weight decay are those of https://arxiv.org/abs/1812.01187, sections 2 and 5, with its rate of 0.1
for a batch of 256, scaled to 64.
"""

from ml_collections import ConfigDict

from configs import base


def get_config(attention: str = "se") -> ConfigDict:
    """The recipe with the attention of that name."""
    c = base.get_config()
    c.epochs = 60
    c.batch_size = 64
    c.log_every = 20

    c.dataset.name = "folder"
    c.dataset.image_size = 224
    c.dataset.mean = (0.485, 0.456, 0.406)
    c.dataset.std = (0.229, 0.224, 0.225)
    c.dataset.loader = "stream"
    c.dataset.workers = 2
    c.dataset.augment.random_resized_crop = True
    c.dataset.augment.flip = True

    c.model.name = "resnet18"
    c.model.attention.name = attention

    c.task.label_smoothing = 0.1
    c.optimizer.learning_rate = 0.025
    c.schedule.warmup_epochs = 5.0
    return c
