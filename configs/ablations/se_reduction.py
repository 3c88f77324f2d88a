"""SE: the reduction ratio. Hu et al., TPAMI 2020 (arXiv:1709.01507), table 10.

    python -m chanattn.sweep --config=configs/ablations/se_reduction.py:cifar10 --workdir=SWEEP

As in the paper's ablations, SE has no biases. In narrow networks large ratios meet the least width of 1:
on 16, 32 and 64 channels, r = 16 gives 1, 2 and 4 hidden units, r = 32 gives 1, 1 and 2.
"""

from chanattn.sweep import Published, Sweep
from configs.ablations import scales
from configs.ablations.overrides import NONE, attention

SWEEP = Sweep(
    title="SE: reduction ratio",
    note="How narrow may the bottleneck between the channels' means and their weights be?",
    variants={
        "none": NONE,
        **{f"se_r{r}": attention("se", reduction=r, use_bias=False) for r in (2, 4, 8, 16, 32)},
    },
    baseline="none",
    published=[
        Published(
            source="Squeeze-and-Excitation Networks, TPAMI 2020, table 10",
            setting="SE-ResNet-50, ImageNet, single crop 224",
            metric="top-1 error, %",
            values={
                "none": 23.30,
                "se_r2": 22.29,
                "se_r4": 22.25,
                "se_r8": 22.26,
                "se_r16": 22.28,
                "se_r32": 22.72,
            },
        )
    ],
)
get_config, sweep = scales.table(SWEEP)
