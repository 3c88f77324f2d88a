"""Weights to and from other frameworks."""

from chanattn.interop.from_torch import from_torch
from chanattn.interop.to_torch import to_torch
from chanattn.interop.weights import read_weights

__all__ = ["from_torch", "read_weights", "to_torch"]
