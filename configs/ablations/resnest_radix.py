"""ResNeSt: radix and cardinality. Zhang et al., CVPRW 2022 (arXiv:2004.08955), table 2, and its repository.

    python -m chanattn.sweep --config=configs/ablations/resnest_radix.py:cifar10 --workdir=SWEEP

`4s2x40d` has radix 4, cardinality 2 and groups 40 wide at 64 planes; `0s` is no split attention. All pool
before the convolution where they stride ("fast"). At the other scales the networks are CIFAR bottlenecks,
whose first stage has 16 planes: 4s2x40d, with 8 groups on 20 channels, does not exist there. ImageNet has
the ResNeSts of timm, of which cardinality 2 comes at 40 and cardinality 4 at 24. An architecture in the
argument is for tables of one network; here it is refused.
"""

from ml_collections import ConfigDict

from chanattn.errors import UsageError
from chanattn.sweep import Published, Sweep
from configs.ablations import scales
from configs.ablations.overrides import NONE, attention, network

# Cardinality and width -> architecture, by scale.
_CIFAR = "resnet29_bottleneck"
_SMALL = "resnet11_bottleneck"
PLAIN = scales.networks(_SMALL, _CIFAR, "resnet50d")
WIDTHS = {
    "1x64d": scales.networks(_SMALL, _CIFAR, "resnest50d"),
    "2x40d": scales.networks(f"{_SMALL}_2x40d", f"{_CIFAR}_2x40d", "resnest50d_4s2x40d"),
    "4x24d": scales.networks(f"{_SMALL}_4x24d", f"{_CIFAR}_4x24d", "resnest50d_1s4x24d"),
}
ROWS = (
    (1, "1x64d"),
    (2, "1x64d"),
    (4, "1x64d"),
    (1, "2x40d"),
    (2, "2x40d"),
    (4, "2x40d"),
    (1, "4x24d"),
)

PAPER = {"0s1x64d": 79.41, "1s1x64d": 80.35, "2s1x64d": 80.64, "4s1x64d": 80.90, "2s2x40d": 81.00}
PYTORCH = {
    "1s1x64d": 80.33,
    "2s1x64d": 80.53,
    "4s1x64d": 80.76,
    "1s2x40d": 80.59,
    "2s2x40d": 80.61,
    "4s2x40d": 81.14,
    "1s4x24d": 80.99,
}
GLUON = {
    "1s1x64d": 80.35,
    "2s1x64d": 80.65,
    "4s1x64d": 80.90,
    "1s2x40d": 80.72,
    "2s2x40d": 80.84,
    "4s2x40d": 81.17,
    "1s4x24d": 80.97,
}
SOURCES = {
    "ResNeSt, arXiv:2004.08955, table 2": PAPER,
    "github.com/zhanghang1989/ResNeSt, ablation.md, PyTorch": PYTORCH,
    "github.com/zhanghang1989/ResNeSt, ablation.md, Gluon": GLUON,
}


def get_config(scale: str = "digits") -> ConfigDict:
    """The recipe of that scale, with its plain network.

    Raises:
        UsageError: the argument names an architecture.
    """
    _refuse_network(scale)
    return scales.recipe(scale, PLAIN)


def sweep(scale: str = "digits") -> Sweep:
    """The grid, with the networks of that scale.

    Raises:
        UsageError: the argument names an architecture.
    """
    _refuse_network(scale)
    variants = {"0s1x64d": network(PLAIN[scale]) | NONE}
    for radix, width in ROWS:
        if scale == "imagenet" or (radix, width) != (4, "2x40d"):
            splat = attention("splat", radix=radix, avd_first=True)
            variants[f"{radix}s{width}"] = network(WIDTHS[width][scale]) | splat
    return Sweep(
        title="ResNeSt: radix and cardinality",
        note="Splits that compete for each channel against groups that do not.",
        variants=variants,
        baseline="0s1x64d",
        published=[
            Published(
                source=source,
                setting="ResNeSt-50-fast, ImageNet, single crop 224",
                metric="top-1 accuracy, %",
                higher_is_better=True,
                values={name: value for name, value in values.items() if name in variants},
            )
            for source, values in SOURCES.items()
        ],
    )


def _refuse_network(scale: str) -> None:
    name, _ = scales.parse(scale, PLAIN)
    if name != scale:
        raise UsageError(
            f"resnest_radix compares architectures, so it takes a scale alone: {name}, not {scale}"
        )
