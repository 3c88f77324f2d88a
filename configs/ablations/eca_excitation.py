"""ECA: what makes logits of the channels' means. Wang et al., CVPR 2020 (arXiv:1910.03151), table 2.

    python -m chanattn.sweep --config=configs/ablations/eca_excitation.py:cifar10 --workdir=SWEEP

Mean and sigmoid are the same throughout, and nothing has a bias; the layers between differ: none, a
factor a channel, a full, a block-diagonal or a band matrix, one kernel for all channels, SE's bottleneck.
The kernels have 3 taps. On 16 channels, SE-GC1 has as many groups as channels, which is SE-Var2, and
SE-GC2 one group, which is SE-Var3.
"""

from chanattn.sweep import Published, Sweep
from configs.ablations import scales
from configs.ablations.overrides import NONE, attention

SWEEP = Sweep(
    title="ECA: excitation without and with a bottleneck",
    note="Do channels have to see each other, and does it cost to squeeze them through a bottleneck?",
    variants={
        "none": NONE,
        "se": attention("se", use_bias=False),
        "se_var1": attention("se_var1"),
        "se_var2": attention("se_var2"),
        "se_var3": attention("se_var3"),
        "se_gc1": attention("se_gc", groups=16),
        "se_gc2": attention("se_gc", group_width=16),
        "se_gc3": attention("se_gc", group_width=8),
        "eca_ns": attention("eca_ns", kernel_size=3),
        "eca": attention("eca", kernel_size=3),
    },
    baseline="none",
    published=[
        Published(
            source="ECA-Net, CVPR 2020, table 2",
            setting="ResNet-50, ImageNet, single crop 224",
            metric="top-1 accuracy, %",
            higher_is_better=True,
            values={
                "none": 75.20,
                "se": 76.71,
                "se_var1": 76.00,
                "se_var2": 77.07,
                "se_var3": 77.42,
                "se_gc1": 76.95,
                "se_gc2": 76.98,
                "se_gc3": 76.96,
                "eca_ns": 77.35,
                "eca": 77.43,
            },
            note="The rows none and se equal those of the SE paper, table 2.",
        )
    ],
)
get_config, sweep = scales.table(SWEEP)
