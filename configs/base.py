"""The config that recipes start from: `get_config()`, whose fields `chanattn/config.py` declares one by one.

A recipe is a file with `get_config(arg=None)` that returns a `ConfigDict`; the part after the colon of
`--config=configs/cifar10.py:eca` is its argument. Any field can be set from the command line:
`--config.optimizer.learning_rate=0.2`. Fields that do not exist are refused, so a typo never passes silently.
"""

from chanattn.config import get_config

__all__ = ["get_config"]
