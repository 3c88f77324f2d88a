"""Which configs are compared, from what the command line asks for."""

from collections.abc import Sequence
from typing import NamedTuple

from ml_collections import ConfigDict

from chanattn import attention
from chanattn.errors import UsageError, did_you_mean

PRECISIONS = ("float32", "bfloat16")


def mechanisms(config: ConfigDict, names: Sequence[str], against: str) -> dict[str, ConfigDict]:
    """The config with each of several mechanisms, the one to compare with first.

    Args:
        config: Has a mechanism of its own.
        names: Mechanisms, each with its default options; empty: the config's own, with its options.
        against: The mechanism to compare with, with its default options; empty: none.

    Raises:
        UsageError: A mechanism is unknown, or options are given that can belong to one of them only.
    """
    chosen = config.model.attention
    options = _options(config)
    if names and options:
        (first, value), *_ = options.items()
        raise UsageError(
            f"--mechanisms measures each with its default options, and model.attention.{first}={value!r}"
            f" is an option of one: leave it out, or leave out --mechanisms to measure {chosen.name} alone"
        )
    variants = {}
    if against:
        variants[against] = _with(config, against)
    for name in names:
        variants[name] = _with(config, name)
    if not names:
        listed = ", ".join(f"{option}={value!r}" for option, value in options.items())
        variants[f"{chosen.name} ({listed})" if listed else chosen.name] = config
    return variants


class Case(NamedTuple):
    """Under which conditions the variants are compared."""

    batch_size: int
    precision: str

    def entry(self, variant: str) -> str:
        """Name of a variant under these conditions."""
        return f"{variant}, batch {self.batch_size}, {self.precision}"


def cases(config: ConfigDict, batch_sizes: Sequence[str], precisions: Sequence[str]) -> list[Case]:
    """Every batch size with every type of activations; empty: the config's own.

    Raises:
        UsageError: A batch size or type that cannot be.
    """
    for size in batch_sizes:
        if not size.isdecimal() or not int(size):
            raise UsageError(
                f"--batch_sizes must be positive whole numbers, such as 1,128, not {size!r}"
            )
    for precision in precisions:
        if precision not in PRECISIONS:
            hint = did_you_mean(precision, PRECISIONS)
            raise UsageError(f"--precisions must be some of {', '.join(PRECISIONS)}.{hint}")
    return [
        Case(size, precision)
        for precision in dict.fromkeys(precisions or (config.precision,))
        for size in dict.fromkeys(map(int, batch_sizes or (config.batch_size,)))
    ]


def under(case: Case, config: ConfigDict) -> ConfigDict:
    """The config under the conditions of a case."""
    copy = config.copy_and_resolve_references()
    copy.update(case._asdict())
    return copy


def _options(config: ConfigDict) -> dict[str, object]:
    """Options of the mechanism that are not its defaults."""
    values = config.model.attention.to_dict()
    return {
        option: values[option] for option in attention.options() if values.get(option) is not None
    }


def _with(config: ConfigDict, name: str) -> ConfigDict:
    if name not in attention.names():
        raise UsageError(
            f"unknown mechanism {name!r}; `python -m chanattn.attention` lists them."
            f"{did_you_mean(name, attention.names())}"
        )
    copy = config.copy_and_resolve_references()
    chosen = copy.model.attention
    chosen.name = name
    for option in _options(copy):
        chosen[option] = None
    if attention.describe(name).slot == "conv" or name == "identity":
        chosen.placement = ""
        chosen.start = ""
    return copy
