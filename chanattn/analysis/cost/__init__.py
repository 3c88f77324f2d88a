"""What a config costs: parameters, multiply-accumulates, training and inference speed, memory.

    from chanattn.analysis import cost

    measured = cost.of_configs({"none": plain_config, "se": se_config})
    measured["variants"]["se"]["macs"]

`python -m chanattn.analysis.cost --config=configs/cifar10.py:se` prints it.
"""

import chanattn.laboratory  # noqa: F401
from chanattn.analysis.cost.measure import of_configs

__all__ = ["of_configs"]
