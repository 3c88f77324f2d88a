"""EPSA: groups of the four branches. Zhang et al., ACCV 2022 (arXiv:2105.14447), the ablation of its groups.

    python -m chanattn.sweep --config=configs/ablations/epsa_groups.py:cifar10 --workdir=SWEEP

Kernels of 3, 5, 7 and 9. Networks are of bottlenecks. In narrow blocks groups shrink to what divides a
branch's channels: with 16 channels, 4 a branch, all that is above 4 is 4.
"""

from chanattn.sweep import Published, Sweep
from configs.ablations import scales
from configs.ablations.overrides import NONE, attention

CHOICES = ((4, 8, 16, 16), (16, 16, 16, 16), (1, 4, 8, 16))
SWEEP = Sweep(
    title="EPSA: groups of the branches",
    note="Should larger kernels have more groups?",
    variants={
        "none": NONE,
        **{
            "groups_" + "_".join(map(str, groups)): attention("epsa", branch_groups=groups)
            for groups in CHOICES
        },
    },
    baseline="none",
    published=[
        Published(
            source="EPSANet, arXiv:2105.14447, ablation of the groups",
            setting="EPSANet-50 (small), ImageNet, single crop 224",
            metric="top-1 accuracy, %",
            higher_is_better=True,
            values={
                "groups_4_8_16_16": 77.25,
                "groups_16_16_16_16": 77.24,
                "groups_1_4_8_16": 77.49,
            },
        )
    ],
)
get_config, sweep = scales.table(SWEEP, scales.BOTTLENECKS)
