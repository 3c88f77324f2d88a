"""Families of architectures, as `python -m chanattn.models` folds them: told by their names."""

import re

from chanattn.errors import UsageError, did_you_mean

_FAMILIES = {
    "cifar": r"(preact_)?resnet(8|11|14|20|29|32|44|56|110|164|1001)(_|$)|wide_resnet(16|28)_",
    "resnest": r"resnest",
    "sknet": r"skres",
    "resnet": r"(legacy_|wide_)?res(ne|light)|(legacy_)?senet",
    "regnet": r"regnet",
    "convnext": r"convnext",
    "nfnet": r"(dm_|test_)?nfnet|nf_",
    "vovnet": r"vovnet",
    "mobilenet": r"(tf_)?mobilenet",
    "mnasnet": r"(se)?mnasnet",
    "efficientnet": r"(tf_|test_)?efficientnet",
    "fbnet": r"fbnet",
    "tinynet": r"tinynet",
    "lcnet": r"lcnet",
    "mixnet": r"(tf_)?mixnet",
    "hardcorenas": r"hardcorenas",
    "ghostnet": r"(rep)?ghostnet",
    "rexnet": r"rexnet",
}
"""How the names of each begin; the first that fits."""


def names() -> list[str]:
    """Names of the families, in the order of the table of architectures."""
    return list(_FAMILIES)


def family(architecture: str) -> str:
    """The family of an architecture."""
    return next(name for name, begins in _FAMILIES.items() if re.match(begins, architecture))


def check(name: str) -> None:
    """Refuses what is no family.

    Raises:
        UsageError: There is none of that name.
    """
    if name not in _FAMILIES:
        raise UsageError(
            f"unknown family {name!r}; valid: {', '.join(_FAMILIES)}.{did_you_mean(name, names())}"
        )
