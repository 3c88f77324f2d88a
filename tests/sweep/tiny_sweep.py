"""A grid whose runs take a second once they are compiled; the argument is the number of steps."""

from chanattn.sweep import Published, Sweep
from configs import base


def get_config(steps="40"):
    c = base.get_config()
    c.steps = int(steps)
    c.batch_size = 16
    c.log_every = 20
    c.eval_every = c.checkpoint_every = 100
    c.platform = "cpu"
    c.cpu_devices = 1
    c.dataset.name = "synthetic"
    c.dataset.image_size = 8
    c.dataset.synthetic_examples = 64
    c.model.name = "resnet8"
    c.optimizer.learning_rate = 0.01
    c.logging.tensorboard = False
    return c


def sweep(steps="40"):
    return Sweep(
        title="Tiny",
        variants={
            "none": {"model.attention.name": "identity"},
            "se_r4": {"model.attention.name": "se", "model.attention.reduction": 4},
        },
        baseline="none",
        seeds=2,
        published=[Published("A paper", "ResNet-50", "top-1 error, %", {"none": 23.3})],
    )
