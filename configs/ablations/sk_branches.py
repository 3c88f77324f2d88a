"""SK: which kernels, and selected or summed. Li et al., CVPR 2019 (arXiv:1903.06586), table 7.

    python -m chanattn.sweep --config=configs/ablations/sk_branches.py:cifar10 --workdir=SWEEP

Kernels of 5 and 7 are 3x3 ones with dilation 2 and 3. A sum has the branches and no attention: against
it, the selection alone is measured. Small networks are of basic blocks, whose first convolution is
replaced.
"""

from chanattn.sweep import Published, Sweep
from configs.ablations import scales
from configs.ablations.overrides import NONE, attention

NETWORKS = scales.networks("resnet8", "resnet20", "resnext50_32x4d")
SEVERAL = {"k3_k5": (3, 5), "k3_k7": (3, 7), "k5_k7": (5, 7), "k3_k5_k7": (3, 5, 7)}

SWEEP = Sweep(
    title="SK: branches, summed or selected",
    note="Soft selection among kernels against their plain sum: what is the attention itself worth?",
    variants={
        "k3": NONE,
        "k5": attention("sk", kernel_sizes=(5,), fuse="sum"),
        "k7": attention("sk", kernel_sizes=(7,), fuse="sum"),
        **{
            f"{name}_{fuse}": attention("sk", kernel_sizes=kernels, **options)
            for name, kernels in SEVERAL.items()
            for fuse, options in (("sum", {"fuse": "sum"}), ("sk", {}))
        },
    },
    baseline="k3",
    published=[
        Published(
            source="Selective Kernel Networks, CVPR 2019, table 7",
            setting="SKNet-50 (ResNeXt-50 32x4d), ImageNet, single crop 224",
            metric="top-1 error, %",
            values={
                "k3": 22.23,
                "k5": 25.14,
                "k7": 25.51,
                "k3_k5_sum": 21.76,
                "k3_k5_sk": 20.79,
                "k3_k7_sum": 21.82,
                "k3_k7_sk": 20.97,
                "k5_k7_sum": 23.64,
                "k5_k7_sk": 23.09,
                "k3_k5_k7_sum": 21.47,
                "k3_k5_k7_sk": 20.76,
            },
        )
    ],
)
get_config, sweep = scales.table(SWEEP, NETWORKS)
