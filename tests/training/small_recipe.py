"""A run of a few seconds that uses whatever could make a resumed one differ; the argument is the loader."""

from configs import base


def get_config(loader="device"):
    c = base.get_config()
    c.steps = 40
    c.batch_size = 16
    c.log_every = 4
    c.eval_every = 6
    c.checkpoint_every = 7
    c.platform = "cpu"
    c.cpu_devices = 1
    c.dataset.name = "synthetic"
    c.dataset.image_size = 8
    c.dataset.synthetic_examples = 72
    c.dataset.loader = loader
    c.dataset.augment.pad_crop = 1
    c.dataset.augment.mixup = 0.4
    c.model.name = "resnet8"
    c.model.attention.name = "se"
    c.model.dropout = 0.2
    c.model.stochastic_depth = 0.2
    c.optimizer.learning_rate = 0.05
    c.ema.decay = 0.9
    c.logging.tensorboard = False
    return c
