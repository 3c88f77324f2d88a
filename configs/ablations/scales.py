"""The scales of every ablation: which recipe is trained, and with which network.

    digits           configs/digits.py          8x8 pictures, embedded      a minute a run on two cores
    fashion_mnist    configs/fashion_mnist.py   28x28                       minutes to an hour
    cifar10          configs/cifar10.py         32x32, 64,000 steps         hours without a GPU
    cifar100         configs/cifar100.py        32x32, 200 epochs
    imagenet         configs/imagenet.py        224x224, 90 epochs          days on one GPU

The argument of a sweep file is a scale, with the table's network at that scale, or a scale and an
architecture: `imagenet`, `cifar10-resnet56`.
"""

from collections.abc import Callable, Mapping
from functools import partial

from ml_collections import ConfigDict

from chanattn import models
from chanattn.errors import UsageError, did_you_mean
from chanattn.sweep import Sweep
from configs import cifar10, cifar100, digits, fashion_mnist, imagenet

RECIPES: dict[str, Callable[[str], ConfigDict]] = {
    "digits": digits.get_config,
    "fashion_mnist": fashion_mnist.get_config,
    "cifar10": cifar10.get_config,
    "cifar100": cifar100.get_config,
    "imagenet": imagenet.get_config,
}
SCALES = tuple(RECIPES)
CIFAR = ("cifar10", "cifar100")

Networks = Mapping[str, str]


def networks(small: str, cifar: str, large: str) -> dict[str, str]:
    """The network of every scale: of the two smallest, of the two CIFARs, of ImageNet."""
    return dict(zip(SCALES, (small, small, cifar, cifar, large), strict=True))


NETWORKS = networks("resnet8", "resnet20", "resnet50")
BOTTLENECKS = networks("resnet11_bottleneck", "resnet29_bottleneck", "resnet50")
"""For what only a bottleneck block tells apart: a place at fewer channels, grouped convolutions."""


def parse(argument: str, own: Networks = NETWORKS) -> tuple[str, str]:
    """Scale and architecture of a sweep's argument; the architecture is `own` unless the argument has one.

    Raises:
        UsageError: there is no such scale or architecture.
    """
    scale, dash, network = argument.partition("-")
    if scale not in SCALES:
        raise UsageError(
            f"unknown scale {scale!r}; valid: {', '.join(SCALES)}, each by choice with an architecture,"
            f" as cifar10-resnet56.{did_you_mean(scale, SCALES)}"
        )
    if dash and network not in models.names():
        raise UsageError(
            f"unknown architecture {network!r} after {scale}-; `python -m chanattn.models` lists them."
            f"{did_you_mean(network, models.names())}"
        )
    return scale, network or own[scale]


def recipe(argument: str = "digits", own: Networks = NETWORKS) -> ConfigDict:
    """The recipe that all variants share, without attention.

    Raises:
        UsageError: there is no such scale or architecture.
    """
    scale, network = parse(argument, own)
    config = RECIPES[scale]("identity")
    config.model.name = network
    return config


def table(
    grid: Sweep, own: Networks = NETWORKS
) -> tuple[Callable[..., ConfigDict], Callable[..., Sweep]]:
    """`get_config` and `sweep` of a file whose grid is the same at every scale.

    Args:
        grid: the variants, with the figures that have been published.
        own: the network of every scale.
    """
    return partial(recipe, own=own), lambda scale="digits": grid


def parse_table(argument: str, own: tuple[str, ...], tables: tuple[str, ...]) -> tuple[str, str]:
    """Scale and table of the argument of a file of another task: `camvid-neck`.

    Args:
        argument: a scale, and by choice a table.
        own: the scales of the file, which these of classification are not.
        tables: those of the file; the first is the one without a name.

    Raises:
        UsageError: there is no such scale or table.
    """
    scale, dash, named = argument.partition("-")
    for name, valid in ((scale, own), (named if dash else tables[0], tables)):
        if name not in valid:
            raise UsageError(
                f"there is no {name!r} here; write one of {', '.join(own)}, by choice with one of "
                f"{', '.join(tables)}, as {own[-1]}-{tables[-1]}.{did_you_mean(name, valid)}"
            )
    return scale, named or tables[0]
