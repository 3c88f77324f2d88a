"""timm's matched pairs: ImageNet checkpoints with and without attention that share a training recipe (a tag).

    python -m chanattn.sweep --config=configs/ablations/timm_family.py:imagenet --workdir=SWEEP
    python -m chanattn.sweep --config=configs/ablations/timm_family.py:imagenet-resnet152d --workdir=SWEEP

The architecture in the argument chooses the family: resnet33ts (the default: SE, ECA and GC), resnext26ts
(these and bilinear attention), resnet50, resnet26t, resnet152d, resnext50_32x4d, resnext101_32x4d.
Modules have timm's widths, and in the "ts" networks timm's place, after the 3x3 convolution. The small
scales have bottlenecks with the modules of resnet33ts at that place.

Published accuracies are of timm's long recipes, which the recipe of the scale is not: compare
differences. Of resnext26ts timm has no plain checkpoint with the tag of the others. Not here: pairs whose
stems differ (resnet50d and ecaresnet50t), and the NFNets.
"""

from functools import partial

from chanattn.sweep import Published, Sweep
from configs.ablations import scales
from configs.ablations.overrides import NONE, Overrides, attention

NETWORKS = scales.networks("resnet11_bottleneck", "resnet29_bottleneck", "resnet33ts")

TS: dict[str, Overrides] = {
    "none": NONE,
    "se": attention("se", rounding="timm", placement="mid"),
    "eca": attention("eca", placement="mid"),
    "gc": attention("gc", preset="timm", placement="mid"),
}
# timm has blocks of 8 for pictures of 256; those of 224 have maps that 7 divides, the default.
BAT = {"bat": attention("bat", preset="timm", placement="mid")}
SE = {"none": NONE, "se": attention("se", rounding="timm")}
ECA = {"none": NONE, "eca": attention("eca")}
VARIANTS = {
    "resnext26ts": TS | BAT,
    "resnet50": SE,
    "resnet26t": ECA,
    "resnet152d": SE,
    "resnext50_32x4d": SE,
    "resnext101_32x4d": SE,
}

# Network -> tag, side of the test pictures, accuracy by variant.
FIGURES: dict[str, list[tuple[str, int, dict[str, float]]]] = {
    "resnet33ts": [
        ("ra2", 256, {"none": 79.216, "se": 80.380, "eca": 80.084, "gc": 80.072}),
        ("ra2", 288, {"none": 79.710, "se": 80.814, "eca": 80.716, "gc": 80.588}),
    ],
    "resnext26ts": [
        ("ch", 256, {"se": 77.860, "eca": 77.446, "gc": 77.810, "bat": 78.280}),
        ("ch", 288, {"se": 78.292, "eca": 78.020, "gc": 78.436}),
    ],
    "resnet50": [
        ("a1", 224, {"none": 80.382, "se": 80.012}),
        ("a1", 288, {"none": 81.240, "se": 81.114}),
        ("a2", 224, {"none": 79.828, "se": 80.102}),
        ("a2", 288, {"none": 80.774, "se": 81.094}),
        ("a3", 160, {"none": 75.994, "se": 75.104}),
        ("a3", 224, {"none": 78.052, "se": 77.036}),
    ],
    "resnet26t": [
        ("ra2", 256, {"none": 77.878, "eca": 78.894}),
        ("ra2", 320, {"none": 78.330, "eca": 79.900}),
    ],
    "resnet152d": [
        ("ra2", 256, {"none": 83.160, "se": 83.702}),
        ("ra2", 320, {"none": 83.684, "se": 84.344}),
    ],
    "resnext50_32x4d": [("gluon", 224, {"none": 79.354, "se": 79.916})],
    "resnext101_32x4d": [("gluon", 224, {"none": 80.336, "se": 80.886})],
}

get_config = partial(scales.recipe, own=NETWORKS)


def sweep(scale: str = "digits") -> Sweep:
    """The family of that network; beside one that timm has not, the figures of resnet33ts."""
    _, network = scales.parse(scale, NETWORKS)
    family = network if network in FIGURES else "resnet33ts"
    return Sweep(
        title="timm: pairs with one recipe",
        note="What attention adds to strong recipes: from -1.0 to +1.6 points.",
        variants=VARIANTS.get(network, TS),
        baseline="none",
        published=[
            Published(
                source="huggingface/pytorch-image-models, results/results-imagenet.csv",
                setting=f"{family}, tag {tag}, ImageNet, tested at {side}",
                metric="top-1 accuracy, %",
                higher_is_better=True,
                values=values,
            )
            for tag, side, values in FIGURES[family]
        ],
    )
