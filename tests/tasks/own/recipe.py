"""The recipe of the task of `age.py`: the digits as numbers."""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """A few steps of a small network."""
    config = base.get_config()
    config.imports = ("age",)
    config.task.name = "regression"
    config.dataset.update(name="digits", mean=(0.3,) * 3, std=(0.35,) * 3)
    config.model.name = "resnet8"
    config.update(steps=60, batch_size=64, eval_every=30, log_every=30)
    config.optimizer.update(name="adamw", learning_rate=0.01)
    return config
