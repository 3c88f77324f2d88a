"""SE in one network after another. Hu et al., TPAMI 2020 (arXiv:1709.01507), tables 2, 4 and 5.

    python -m chanattn.sweep --config=configs/ablations/se_networks.py:cifar10 --workdir=SWEEP
    python -m chanattn.sweep --config=configs/ablations/se_networks.py:cifar100-wide_resnet16_8 --workdir=W

Every network is there with and without SE. The sweep has one baseline, the first plain network, so that
the gain of SE in another one is read off its pair; with an architecture in the argument there is that
pair alone, and its plain network is the baseline. ResNet-110 and 164 are the pre-activation networks of
arXiv:1603.05027.

Not here, because these networks are not: Shake-Shake and Shake-Even of tables 4 and 5, VGG-16 and the two
Inceptions of table 2. The digits and Fashion-MNIST have small networks, which the paper has no figures
for.
"""

from functools import partial

from chanattn.sweep import Published, Sweep
from configs.ablations import scales
from configs.ablations.overrides import NONE, Overrides, attention, network

SMALL = ("resnet8", "resnet14", "resnet20")
CIFAR = ("preact_resnet110", "preact_resnet164", "wide_resnet16_8")
LARGE = ("resnet50", "resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x4d")
OF_SCALE = dict(zip(scales.SCALES, (SMALL, SMALL, CIFAR, CIFAR, LARGE), strict=True))
FIRST = {scale: names[0] for scale, names in OF_SCALE.items()}

PAPER = "Squeeze-and-Excitation Networks, TPAMI 2020"
# Network -> top-1 error without and with SE.
PUBLISHED: dict[str, tuple[str, str, dict[str, tuple[float, float]]]] = {
    "cifar10": (
        f"{PAPER}, table 4",
        "CIFAR-10",
        {
            "preact_resnet110": (6.37, 5.21),
            "preact_resnet164": (5.46, 4.39),
            "wide_resnet16_8": (4.27, 3.88),
        },
    ),
    "cifar100": (
        f"{PAPER}, table 5",
        "CIFAR-100",
        {
            "preact_resnet110": (26.88, 23.85),
            "preact_resnet164": (24.33, 21.31),
            "wide_resnet16_8": (20.43, 19.14),
        },
    ),
    "imagenet": (
        f"{PAPER}, table 2",
        "ImageNet, single crop 224",
        {
            "resnet50": (24.80, 23.29),
            "resnet101": (23.17, 22.38),
            "resnet152": (22.42, 21.57),
            "resnext50_32x4d": (22.11, 21.10),
            "resnext101_32x4d": (21.18, 20.70),
        },
    ),
}

get_config = partial(scales.recipe, own=FIRST)


def sweep(scale: str = "digits") -> Sweep:
    """Pairs of networks: those of the scale, or the one that the argument names."""
    name, chosen = scales.parse(scale, FIRST)
    networks = (chosen,) if "-" in scale else OF_SCALE[name]
    return Sweep(
        title="SE in different networks",
        note="Does SE help whatever the network? Compare each network with its own pair.",
        variants={variant: o for each in networks for variant, o in _pair(each).items()},
        baseline=networks[0],
        published=_published(name, networks),
    )


def _pair(name: str) -> dict[str, Overrides]:
    return {name: network(name) | NONE, f"{name}_se": network(name) | attention("se")}


def _published(scale: str, networks: tuple[str, ...]) -> list[Published]:
    source, setting, table = PUBLISHED.get(scale, ("", "", {}))
    values = {
        variant: error
        for each in networks
        if each in table
        for variant, error in zip(_pair(each), table[each], strict=True)
    }
    return [Published(source, setting, "top-1 error, %", values)] if values else []
