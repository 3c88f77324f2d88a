"""SE: the squeeze operator. Hu et al., TPAMI 2020 (arXiv:1709.01507), tables 11 and 16.

    python -m chanattn.sweep --config=configs/ablations/se_squeeze.py:cifar10 --workdir=SWEEP

NoSqueeze has the same two layers at every position, and no pooling. SE has no biases, as in the paper's
ablations.
"""

from chanattn.sweep import Published, Sweep
from configs.ablations import scales
from configs.ablations.overrides import NONE, attention

SWEEP = Sweep(
    title="SE: squeeze operator",
    note="Does it matter how a channel's map becomes one number, and whether it does?",
    variants={
        "none": NONE,
        "max": attention("se", squeeze="max", use_bias=False),
        "avg": attention("se", squeeze="mean", use_bias=False),
        "nosqueeze": attention("se", squeeze="none", use_bias=False),
    },
    baseline="none",
    published=[
        Published(
            source="Squeeze-and-Excitation Networks, TPAMI 2020, tables 11 and 16; none: table 10",
            setting="SE-ResNet-50, ImageNet, single crop 224",
            metric="top-1 error, %",
            values={"none": 23.30, "max": 22.57, "avg": 22.28, "nosqueeze": 22.93},
        )
    ],
)
get_config, sweep = scales.table(SWEEP)
