"""SE: where in the block. Hu et al., TPAMI 2020 (arXiv:1709.01507), tables 14 and 15.

    python -m chanattn.sweep --config=configs/ablations/se_placement.py:cifar10 --workdir=SWEEP

Networks are of bottlenecks at every scale, where SE after the 3x3 convolution sees a quarter of the
channels. SE has no biases, as in the paper's ablations.
"""

from chanattn.sweep import Published, Sweep
from configs.ablations import scales
from configs.ablations.overrides import NONE, attention

PLACES = {
    "se": "post",
    "se_pre": "pre",
    "se_post": "after_sum",
    "se_identity": "identity",
    "se_3x3": "mid",
}
SWEEP = Sweep(
    title="SE: placement",
    note="On the branch, before it, after the sum, on the shortcut, or inside after the 3x3 convolution?",
    variants={
        "none": NONE,
        **{
            name: attention("se", placement=place, use_bias=False) for name, place in PLACES.items()
        },
    },
    baseline="none",
    published=[
        Published(
            source="Squeeze-and-Excitation Networks, TPAMI 2020, tables 14 and 15; none: table 10",
            setting="SE-ResNet-50, ImageNet, single crop 224",
            metric="top-1 error, %",
            values={
                "none": 23.30,
                "se": 22.28,
                "se_pre": 22.23,
                "se_post": 22.78,
                "se_identity": 22.20,
                "se_3x3": 22.48,
            },
        )
    ],
)
get_config, sweep = scales.table(SWEEP, scales.BOTTLENECKS)
