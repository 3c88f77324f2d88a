"""Detection without a download: five shapes on textured ground, 64x64, drawn by the package itself.

    python train.py --config=configs/shapes_detection.py --workdir=runs/boxes
    python train.py --config=configs/shapes_detection.py:eca --workdir=runs/boxes-eca

The argument names the attention of the backbone. AP is 0.912 on the validation split and 0.894 on the
test split, AP50 0.995 and 0.986 (se, one seed) after 24 CPU minutes; docs/detection.md has what less time
reaches. The recipe is our own. All shapes are found by the level of stride 4, which gives their sides more
exactly than coarser ones; that of stride 8 tells it of the surroundings. No level is made from the stages
behind, which would learn nothing: frozen, they cost nothing. A network whose stages have other strides wants
another `optimizer.freeze`, or `()`.
"""

from ml_collections import ConfigDict

from configs import base


def get_config(attention: str = "se") -> ConfigDict:
    """The recipe with the attention of that name in the backbone."""
    c = base.get_config()
    c.epochs = 60
    c.batch_size = 8
    c.log_every = 128  # one epoch
    c.eval_every = 1280
    c.checkpoint_every = 1280

    c.dataset.name = "shapes"
    c.dataset.image_size = 64
    c.dataset.eval_split = "validation"
    c.dataset.most_boxes = 2
    c.dataset.augment.flip = True
    c.dataset.augment.pad_crop = 6

    c.task.name = "detection"
    c.task.strides = (4, 8)
    c.task.ranges = (32.0,)  # pixels: no side is farther
    c.model.name = "resnet10t"
    c.model.head_width = 64
    c.model.attention.name = attention

    c.optimizer.name = "adamw"
    c.optimizer.learning_rate = 3e-3
    c.optimizer.weight_decay = 0.01
    c.optimizer.clip_norm = 10.0
    c.optimizer.freeze = ("stage3", "stage4")
    c.schedule.warmup_epochs = 1.0
    return c
