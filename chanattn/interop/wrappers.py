"""What training programs put around a state dict, and how to take it off."""

from collections.abc import Callable, Mapping
from typing import Any

from chanattn.errors import UsageError

NESTED = ("state_dict_ema", "model_ema", "state_dict", "model")
"""Where checkpoints hold the weights; the averages first, as timm reads them, because they are published."""
PREFIXES = ("module.", "model.", "encoder.", "backbone.", "_orig_mod.")
"""Of names: nn.DataParallel, Lightning, encoders and detectors, torch.compile."""


def unwrapped(state: Mapping[str, Any], known: Callable[[str], bool]) -> Mapping[str, Any]:
    """A state dict without wrappers: what lies below one of `NESTED`, and names without `PREFIXES`.

    Args:
        state: Names to arrays, or to the mapping that holds these; in a safetensors file, which is flat, such
            a mapping is a prefix ("state_dict_ema.conv1.weight").
        known: Whether a name means something here. Only names that do not, and do without some prefixes,
            are changed.

    Raises:
        UsageError: Two names are the same one without them.
    """
    for name in NESTED:
        if isinstance(state.get(name), Mapping):
            return unwrapped(state[name], known)
    for name in NESTED[:-1]:  # "model." is a prefix as well
        if below := {
            key.removeprefix(f"{name}."): value
            for key, value in state.items()
            if _is_below(key, name)
        }:
            return unwrapped(below, known)
    found: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for name, value in state.items():
        short = _bare(name, known) if isinstance(name, str) else name
        if short in found:
            raise UsageError(
                f"the PyTorch parameters {origins[short]!r} and {name!r} are the same one here, {short!r}:"
                " the weights hold two networks; give those of one of them"
            )
        found[short], origins[short] = value, name
    return found


def _is_below(key: object, name: str) -> bool:
    return isinstance(key, str) and key.startswith(f"{name}.")


def _bare(name: str, known: Callable[[str], bool]) -> str:
    short = name
    while not known(short):
        prefix = next((each for each in PREFIXES if short.startswith(each)), None)
        if prefix is None:
            return name
        short = short.removeprefix(prefix)
    return short
