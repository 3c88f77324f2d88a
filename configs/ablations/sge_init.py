"""SGE: where its scale and shift start. Li et al., 2019 (arXiv:1905.09646), tables 2 and 3.

    python -m chanattn.sweep --config=configs/ablations/sge_init.py:cifar10 --workdir=SWEEP

`gamma0_beta1` is the default: the same weight, 0.73, everywhere at the start. 64 groups, as published, on
256 channels and more; four channels a group below.
"""

from chanattn.sweep import Published, Sweep
from configs.ablations import scales
from configs.ablations.overrides import NONE, attention

STARTS = [(gamma, beta) for gamma in (0, 1) for beta in (0, 1)]
SWEEP = Sweep(
    title="SGE: initialisation and normalisation",
    note="Should a spatial gate start without contrast, and must its logits be normalised?",
    variants={
        "none": NONE,
        **{
            f"gamma{gamma}_beta{beta}": attention(
                "sge", init_gamma=float(gamma), init_beta=float(beta)
            )
            for gamma, beta in STARTS
        },
        "no_norm": attention("sge", use_norm=False),
    },
    baseline="none",
    published=[
        Published(
            source="Spatial Group-wise Enhance, arXiv:1905.09646, tables 2 and 3",
            setting="ResNet-50, ImageNet, single crop 224, 100 epochs",
            metric="top-1 accuracy, %",
            higher_is_better=True,
            values={
                "none": 76.384,
                "gamma0_beta0": 77.378,
                "gamma0_beta1": 77.584,
                "gamma1_beta0": 77.220,
                "gamma1_beta1": 77.082,
                "no_norm": 76.498,
            },
            note="none: the paper's comparison of modules, in the same setup.",
        )
    ],
)
get_config, sweep = scales.table(SWEEP)
