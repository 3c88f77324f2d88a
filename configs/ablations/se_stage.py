"""SE: in which stage. Hu et al., TPAMI 2020 (arXiv:1709.01507), table 13.

    python -m chanattn.sweep --config=configs/ablations/se_stage.py:cifar10 --workdir=SWEEP

The paper counts the stem as stage 1: its stages 2, 3 and 4 are the first three stages of blocks here, all
there are in a CIFAR network. It has no row for a fourth stage of blocks alone. SE has no biases, as in
the paper's ablations.
"""

from chanattn.sweep import Published, Sweep
from configs.ablations import scales
from configs.ablations.overrides import NONE, attention

SWEEP = Sweep(
    title="SE: stage",
    note="In which stage is SE worth most? Stages are counted with the stem as the first.",
    variants={
        "none": NONE,
        **{
            f"se_stage{number}": attention("se", stages=(number - 1,), use_bias=False)
            for number in (2, 3, 4)
        },
        "se_all": attention("se", use_bias=False),
    },
    baseline="none",
    published=[
        Published(
            source="Squeeze-and-Excitation Networks, TPAMI 2020, table 13",
            setting="SE-ResNet-50, ImageNet, single crop 224",
            metric="top-1 error, %",
            values={
                "none": 23.30,
                "se_stage2": 23.03,
                "se_stage3": 23.04,
                "se_stage4": 22.68,
                "se_all": 22.28,
            },
        )
    ],
)
get_config, sweep = scales.table(SWEEP)
