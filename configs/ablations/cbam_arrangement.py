"""CBAM: the order of its gates. Woo et al., ECCV 2018 (arXiv:1807.06521), table 3.

    python -m chanattn.sweep --config=configs/ablations/cbam_arrangement.py:cifar10 --workdir=SWEEP

In parallel, the logits of both gates are added and one sigmoid gives a weight for every channel and
position.
"""

from chanattn.sweep import Published, Sweep
from configs.ablations import scales
from configs.ablations.overrides import NONE, attention

SWEEP = Sweep(
    title="CBAM: arrangement",
    note="Channels first, positions first, or both at once, with their logits added?",
    variants={
        "none": NONE,
        "se": attention("cbam", spatial=False, squeeze="mean"),
        **{
            name: attention("cbam", combine=name)
            for name in ("channel_first", "spatial_first", "parallel")
        },
    },
    baseline="none",
    published=[
        Published(
            source="CBAM, ECCV 2018, table 3; none: table 1",
            setting="ResNet-50, ImageNet, single crop 224, 90 epochs",
            metric="top-1 error, %",
            values={
                "none": 24.56,
                "se": 23.14,
                "channel_first": 22.66,
                "spatial_first": 22.78,
                "parallel": 22.95,
            },
        )
    ],
)
get_config, sweep = scales.table(SWEEP)
