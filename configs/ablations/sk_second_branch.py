"""SK: the second branch beside a 3x3 one. Li et al., CVPR 2019 (arXiv:1903.06586), table 6.

    python -m chanattn.sweep --config=configs/ablations/sk_second_branch.py:cifar10 --workdir=SWEEP

Kernel k, dilation D, groups G of the second branch: G = 32, 32, 32, 64, 128 in the paper, which keeps the
cost. The small networks have plain convolutions, so there G = 1, 1, 1, 2, 4.
"""

from functools import partial

from chanattn import models
from chanattn.sweep import Published, Sweep
from configs.ablations import scales
from configs.ablations.overrides import NONE, attention

NETWORKS = scales.networks("resnet8", "resnet20", "resnext50_32x4d")

get_config = partial(scales.recipe, own=NETWORKS)


def sweep(scale: str = "digits") -> Sweep:
    """The grid, with the groups of the network of that scale."""
    _, network = scales.parse(scale, NETWORKS)
    first = models.ARCHITECTURES[network].get("cardinality", 1)
    second = ((3, 3, 1), (3, 2, 1), (3, 1, 1), (5, 1, 2), (7, 1, 4))
    return Sweep(
        title="SK: second branch",
        note="By dilation or by a larger kernel with more groups: what should the other branch see?",
        variants={
            "none": NONE,
            **{
                f"k{k}_d{dilation}": attention(
                    "sk",
                    kernel_sizes=(3, k),
                    dilations=(1, dilation),
                    branch_groups=(first, times * first),
                )
                for k, dilation, times in second
            },
        },
        baseline="none",
        published=[
            Published(
                source="Selective Kernel Networks, CVPR 2019, table 6; none: table 2",
                setting="SKNet-50 (ResNeXt-50 32x4d), ImageNet, single crop 224",
                metric="top-1 error, %",
                values={
                    "none": 22.23,
                    "k3_d3": 20.97,
                    "k3_d2": 20.79,
                    "k3_d1": 20.91,
                    "k5_d1": 20.80,
                    "k7_d1": 21.18,
                },
            )
        ],
    )
