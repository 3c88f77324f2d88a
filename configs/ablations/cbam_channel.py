"""CBAM: pooling for the channel gate. Woo et al., ECCV 2018 (arXiv:1807.06521), table 1.

    python -m chanattn.sweep --config=configs/ablations/cbam_channel.py:cifar10 --workdir=SWEEP

The mean alone is SE; mean and maximum share the two layers.
"""

from chanattn.sweep import Published, Sweep
from configs.ablations import scales
from configs.ablations.overrides import NONE, attention

POOLS = {"avg": "mean", "max": "max", "avg_max": "mean+max"}
SWEEP = Sweep(
    title="CBAM: pooling of the channel gate",
    note="Does a channel's maximum tell what its mean does not?",
    variants={
        "none": NONE,
        **{
            name: attention("cbam", spatial=False, squeeze=squeeze)
            for name, squeeze in POOLS.items()
        },
    },
    baseline="none",
    published=[
        Published(
            source="CBAM, ECCV 2018, table 1",
            setting="ResNet-50, ImageNet, single crop 224, 90 epochs",
            metric="top-1 error, %",
            values={"none": 24.56, "avg": 23.14, "max": 23.20, "avg_max": 22.80},
        )
    ],
)
get_config, sweep = scales.table(SWEEP)
