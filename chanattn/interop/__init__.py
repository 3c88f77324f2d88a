"""Weights to and from other frameworks."""

from chanattn.interop.from_torch import from_torch

__all__ = ["from_torch"]
