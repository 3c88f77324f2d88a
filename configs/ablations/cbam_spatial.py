"""CBAM: the spatial gate. Woo et al., ECCV 2018 (arXiv:1807.06521), table 2.

    python -m chanattn.sweep --config=configs/ablations/cbam_spatial.py:cifar10 --workdir=SWEEP

After the channel gate: channels pooled by a 1x1 convolution, or by maximum and mean; then 3x3 or 7x7.
"""

from chanattn.sweep import Published, Sweep
from configs.ablations import scales
from configs.ablations.overrides import NONE, attention

SWEEP = Sweep(
    title="CBAM: spatial gate",
    note="What does a gate of the positions add to one of the channels, and how should it see these?",
    variants={
        "none": NONE,
        "se": attention("cbam", spatial=False, squeeze="mean"),
        "channel": attention("cbam", spatial=False),
        **{
            f"{name}_k{k}": attention("cbam", maps=maps, kernel_size=k)
            for name, maps in (("conv", "conv"), ("pool", "max+mean"))
            for k in (3, 7)
        },
    },
    baseline="channel",
    published=[
        Published(
            source="CBAM, ECCV 2018, table 2; none: table 1",
            setting="ResNet-50, ImageNet, single crop 224, 90 epochs",
            metric="top-1 error, %",
            values={
                "none": 24.56,
                "se": 23.14,
                "channel": 22.80,
                "conv_k3": 22.96,
                "conv_k7": 22.90,
                "pool_k3": 22.68,
                "pool_k7": 22.66,
            },
        )
    ],
)
get_config, sweep = scales.table(SWEEP)
