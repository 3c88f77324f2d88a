"""The config that recipes start from, `get_config()`; `chanattn/config.py` declares and explains its fields.

A recipe is a file with `get_config(arg=None)` that returns a `ConfigDict`; the part after the colon of
`--config=configs/cifar10.py:eca` is its argument. Any field can be set from the command line:
`--config.optimizer.learning_rate=0.2`. Fields that do not exist are refused, so a typo never passes silently.
A recipe elsewhere may start from `chanattn.config.get_config()` as well: it is the same.
"""

from chanattn.config import get_config

__all__ = ["get_config"]
