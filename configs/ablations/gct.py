"""GCT: embedding, normalisation, gate and place. Yang et al., CVPR 2020 (arXiv:1909.11519), table 6.

    python -m chanattn.sweep --config=configs/ablations/gct.py:cifar10 --workdir=SWEEP

Each variant differs from `gct` (l2, l2, 1 + tanh, before every convolution) in one choice.
"""

from chanattn.sweep import Published, Sweep
from configs.ablations import scales
from configs.ablations.overrides import NONE, attention

SWEEP = Sweep(
    title="GCT: embedding, normalisation, gate, place",
    note="Which of GCT's four choices matter? Every variant changes one of them.",
    variants={
        "none": NONE,
        "gct": attention("gct"),
        "embedding_linf": attention("gct", embedding="linf"),
        "embedding_l1": attention("gct", embedding="l1"),
        "norm_mean_var": attention("gct", norm="mean_var"),
        "norm_l1": attention("gct", norm="l1", embedding="l2"),
        "gate_sigmoid": attention("gct", gate="sigmoid"),
        "gate_one_plus_elu": attention("gct", gate="one_plus_elu"),
        "after_norms": attention("gct", placement="after_norms"),
        "before_norms": attention("gct", placement="before_norms"),
    },
    baseline="none",
    published=[
        Published(
            source="Gated Channel Transformation, CVPR 2020, table 6; none: tables 1 and 2",
            setting="ResNet-50, ImageNet, single crop 224",
            metric="top-1 error, %",
            values={
                "none": 23.8,
                "gct": 22.7,
                "embedding_linf": 23.1,
                "embedding_l1": 22.8,
                "norm_mean_var": 23.7,
                "norm_l1": 22.9,
                "gate_sigmoid": 22.9,
                "gate_one_plus_elu": 22.7,
                "after_norms": 23.1,
                "before_norms": 23.1,
            },
        )
    ],
)
get_config, sweep = scales.table(SWEEP)
