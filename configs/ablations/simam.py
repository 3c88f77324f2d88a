"""SimAM: six modules in one training setup. Yang et al., ICML 2021, the CIFAR tables and table 3.

    python -m chanattn.sweep --config=configs/ablations/simam.py:cifar10 --workdir=SWEEP
    python -m chanattn.sweep --config=configs/ablations/simam.py:cifar100-resnet56 --workdir=SWEEP

The architecture in the argument chooses the column of the table: resnet20, 56, 110 and preact_resnet20,
56, 110 on CIFAR; resnet18, 34, 50, 101, resnext50_32x4d and mobilenetv2_100 on ImageNet. Setup of both
CIFARs, from the paper: 64,000 steps of 128 pictures, rate 0.1 divided by 10 after 32,000 and 48,000,
weight decay 5e-4, crop with padding 4, flip. Modules are as in the authors' code: SE without biases, CBAM
with them, all with r = 16, so that 16 channels leave one hidden unit (and GC, whose norm then sees one
value, no influence of the context).

Not here, because these networks are not: the MobileNetV2 and WRN-20-10 columns of the CIFAR tables.
ImageNet's table has SRM in the place of GC.
"""

from collections.abc import Mapping

from ml_collections import ConfigDict

from chanattn.sweep import Published, Sweep
from configs.ablations import scales
from configs.ablations.overrides import NONE, attention

Row = tuple[tuple[float, float], ...]

MODULES = ("none", "se", "cbam", "eca", "gc", "simam")
# Network -> accuracy and standard deviation of five runs, by module.
CIFAR10: dict[str, Row] = {
    "resnet20": (
        *((92.33, 0.19), (92.42, 0.14), (92.60, 0.31), (92.35, 0.35), (92.47, 0.19), (92.73, 0.18)),
    ),
    "resnet56": (
        *((93.58, 0.20), (93.69, 0.17), (93.82, 0.10), (93.68, 0.08), (93.58, 0.08), (93.76, 0.13)),
    ),
    "resnet110": (
        *((94.51, 0.31), (94.68, 0.22), (94.83, 0.18), (94.72, 0.15), (94.78, 0.25), (94.72, 0.18)),
    ),
    "preact_resnet20": (
        *((92.14, 0.25), (92.24, 0.06), (92.19, 0.11), (92.16, 0.25), (92.19, 0.20), (92.47, 0.12)),
    ),
    "preact_resnet56": (
        *((93.71, 0.24), (93.57, 0.15), (93.67, 0.08), (93.78, 0.17), (93.77, 0.12), (93.80, 0.30)),
    ),
    "preact_resnet110": (
        *((94.22, 0.18), (94.40, 0.18), (94.37, 0.33), (94.70, 0.31), (94.85, 0.19), (94.90, 0.19)),
    ),
}
CIFAR100: dict[str, Row] = {
    "resnet20": (
        *((68.88, 0.15), (69.45, 0.11), (69.47, 0.35), (68.89, 0.57), (69.16, 0.48), (69.57, 0.40)),
    ),
    "resnet56": (
        *((72.24, 0.37), (72.84, 0.51), (72.47, 0.52), (72.45, 0.38), (72.50, 0.50), (72.82, 0.25)),
    ),
    "resnet110": (
        *((75.54, 0.24), (76.56, 0.30), (76.45, 0.54), (76.33, 0.65), (76.21, 0.17), (76.42, 0.27)),
    ),
    "preact_resnet20": (
        *((68.70, 0.30), (68.70, 0.21), (68.76, 0.56), (68.31, 0.46), (68.96, 0.48), (69.13, 0.50)),
    ),
    "preact_resnet56": (
        *((71.83, 0.23), (72.57, 0.32), (72.16, 0.12), (72.43, 0.45), (72.44, 0.19), (72.36, 0.19)),
    ),
    "preact_resnet110": (
        *((75.95, 0.22), (76.68, 0.30), (76.01, 0.57), (76.11, 0.54), (75.88, 0.28), (76.24, 0.31)),
    ),
}
LARGE_MODULES = ("none", "se", "cbam", "eca", "srm", "simam")
IMAGENET: dict[str, tuple[float, ...]] = {
    "resnet18": (70.33, 71.19, 71.24, 70.71, 71.09, 71.31),
    "resnet34": (73.75, 74.32, 74.41, 74.03, 74.49, 74.46),
    "resnet50": (76.34, 77.51, 77.63, 77.17, 77.51, 77.45),
    "resnet101": (77.82, 78.39, 78.57, 78.46, 78.58, 78.65),
    "resnext50_32x4d": (77.47, 77.96, 78.06, 77.74, 78.04, 78.00),
    "mobilenetv2_100": (71.90, 72.46, 72.49, 72.01, 72.32, 72.36),
}

VARIANTS = {
    "none": NONE,
    "se": attention("se", use_bias=False),
    "cbam": attention("cbam"),
    "eca": attention("eca"),
    "gc": attention("gc", min_width=1),
    "srm": attention("srm"),
}


def get_config(scale: str = "digits") -> ConfigDict:
    """The recipe of that scale; on CIFAR the paper's."""
    c = scales.recipe(scale)
    if c.dataset.name in scales.CIFAR:
        c.steps = 64_000
        c.epochs = 0.0
        c.model.zero_init_residual = False
        c.optimizer.learning_rate = 0.1
        c.optimizer.nesterov = False
        c.optimizer.weight_decay = 5e-4
        c.schedule.name = "step"
        c.schedule.boundaries = (0.5, 0.75)
        c.schedule.factor = 0.1
    return c


def sweep(scale: str = "digits") -> Sweep:
    """The six modules, beside the column of that data set and network."""
    name, network = scales.parse(scale)
    large = name == "imagenet"
    modules = LARGE_MODULES if large else MODULES
    # The energy's lambda of the authors, found by search on CIFAR and set anew on ImageNet.
    simam = attention("simam", regularization=0.1 if large else 1e-4)
    return Sweep(
        title="SimAM: six modules, one setup",
        note="Modules of very different cost in one recipe: gains of 0 to 1 point, deviations of 0.1 to 0.6.",
        variants={module: (VARIANTS | {"simam": simam})[module] for module in modules},
        baseline="none",
        seeds=5,
        published=_published(name, network),
    )


def _published(scale: str, network: str) -> list[Published]:
    """The column of the table; beside the small scales ResNet-20's on CIFAR-10."""
    if scale == "imagenet":
        values = dict(zip(LARGE_MODULES, IMAGENET.get(network, ()), strict=False))
        return _figures("table 3", f"{network}, ImageNet, single crop 224", values)
    if scale not in scales.CIFAR:
        network = "resnet20"
    table, data = (CIFAR100, "CIFAR-100") if scale == "cifar100" else (CIFAR10, "CIFAR-10")
    means = dict(zip(MODULES, table.get(network, ()), strict=False))
    return _figures("CIFAR table", f"{network}, {data}, mean and deviation of 5 runs", means)


def _figures(
    table: str, setting: str, values: Mapping[str, float | tuple[float, float]]
) -> list[Published]:
    """None for a network that the table does not have."""
    source, metric = f"SimAM, ICML 2021, {table}", "top-1 accuracy, %"
    return [Published(source, setting, metric, values, higher_is_better=True)] if values else []
