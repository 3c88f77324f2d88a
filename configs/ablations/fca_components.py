"""FcaNet: which components, and how many. Qin et al., ICCV 2021 (arXiv:2012.11879), table 1, figures 3 and 4.

    python -m chanattn.sweep --config=configs/ablations/fca_components.py:cifar10 --workdir=SWEEP

`low2` is the paper's FcaNet-LF, `top16` its FcaNet-TS; its searched FcaNet-NAS is not here. Figure 4,
over the number of components, is a plot without numbers. The rankings by frequency and by accuracy begin
with the same two components, (0, 0) and (0, 1). Components must divide the channels: 32 of them need a
network whose narrowest block has 32 channels or more, so they are left out of those that start with 16.
"""

from chanattn.sweep import Published, Sweep
from configs.ablations import scales
from configs.ablations.overrides import NONE, attention

COUNTS = (2, 4, 8, 16, 32)
# Network -> top-1 accuracy without attention, with SE, low2, top16.
TABLE: dict[str, tuple[float, ...]] = {
    "resnet34": (74.58, 74.83, 74.95, 75.02),
    "resnet50": (77.27, 77.86, 78.43, 78.57),
    "resnet101": (78.72, 79.19, 79.46, 79.63),
    "resnet152": (79.39, 79.84, 80.13, 80.02),
}

get_config = scales.recipe


def sweep(scale: str = "digits") -> Sweep:
    """The grid, with as many components as the network's channels allow."""
    name, network = scales.parse(scale)
    counts = COUNTS if name == "imagenet" else COUNTS[:-1]
    accuracy = "top-1 accuracy, %"
    # Beside a network that the paper does not have stands its ResNet-50.
    known = network if network in TABLE else "resnet50"
    values = dict(zip(("none", "se", "low2", "top16"), TABLE[known], strict=True))
    depth = known.removeprefix("resnet")
    return Sweep(
        title="FcaNet: components of the cosine transform",
        note="Is the mean, the lowest component, the best summary of a channel, and do more of them help?",
        variants={
            "none": NONE,
            "se": attention("se", use_bias=False),
            "dct_6_6": attention("fca", frequencies="6,6"),
            "dct_0_0": attention("fca", frequencies="0,0"),
            "low2": attention("fca", frequencies="low2"),
            **{
                f"{ranking}{count}": attention("fca", frequencies=f"{ranking}{count}")
                for ranking in ("low", "top")
                for count in counts[1:]
            },
        },
        baseline="none",
        published=[
            Published(
                source="FcaNet, ICCV 2021, table 1",
                setting=f"ResNet-{depth}, ImageNet, single crop 224",
                metric=accuracy,
                higher_is_better=True,
                values=values,
            ),
            Published(
                source="FcaNet, ICCV 2021, figure 3",
                setting="ResNet-50, ImageNet, single crop 224",
                metric=accuracy,
                higher_is_better=True,
                values={"dct_0_0": 76.69, "dct_6_6": 75.72},
                note="Fine-tuned for 20 epochs: the best and the worst of the 49 components.",
            ),
        ],
    )
