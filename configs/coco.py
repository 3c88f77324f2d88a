"""Detection on COCO: ResNet-50 from ImageNet's weights, a pyramid and FCOS, twelve epochs.

    python train.py --config=configs/coco.py --workdir=runs/coco --config.model.init=WEIGHTS
    python train.py --config=configs/coco.py:se --workdir=runs/coco-se --config.model.init=WEIGHTS

The data is the TFDS set `coco/2017` in `--config.dataset.data_dir` or $TFDS_DATA_DIR. The argument names the
attention of the backbone; WEIGHTS has it too, unless `--config.model.attention.start=identity` adds it. Rate,
batch, decay and drops are those of FCOS (arXiv:1904.01355, section 4): 16 pictures, 0.01, 1e-4, divided by 10
after 60,000 and 80,000 of 90,000 steps. Its pictures are 800 pixels high and differ in shape; here all are
fitted into 800x1024, so that there is one program, and published figures are no aim for these.
"""

from ml_collections import ConfigDict

from configs import base


def get_config(attention: str = "identity") -> ConfigDict:
    """The recipe with the attention of that name in the backbone."""
    c = base.get_config()
    c.epochs = 0
    c.steps = 90_000
    c.batch_size = 16
    c.log_every = 100
    c.eval_every = 7_500
    c.checkpoint_every = 2_500
    c.precision = "bfloat16"

    c.dataset.name = "coco/2017"
    c.dataset.eval_split = "validation"
    c.dataset.image_size = (800, 1024)
    c.dataset.mean = (0.485, 0.456, 0.406)
    c.dataset.std = (0.229, 0.224, 0.225)
    c.dataset.loader = "stream"
    c.dataset.workers = 16
    c.dataset.augment.flip = True

    c.task.name = "detection"
    c.model.name = "resnet50"
    c.model.head_width = 256
    c.model.attention.name = attention

    c.optimizer.learning_rate = 0.01
    c.optimizer.nesterov = False
    c.optimizer.weight_decay = 1e-4
    c.schedule.name = "step"
    c.schedule.boundaries = (60 / 90, 80 / 90)
    c.schedule.factor = 0.1
    c.schedule.warmup_steps = 500
    return c
