"""Weights to and from other frameworks."""

from chanattn.interop.from_torch import from_torch
from chanattn.interop.hub import (
    HubConfig,
    check_architecture,
    different_preparation,
    hub_config,
)
from chanattn.interop.to_torch import to_torch
from chanattn.interop.weights import read_weights

__all__ = [
    "HubConfig",
    "check_architecture",
    "different_preparation",
    "from_torch",
    "hub_config",
    "read_weights",
    "to_torch",
]
