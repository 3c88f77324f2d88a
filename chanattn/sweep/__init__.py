"""Grids of runs, from a file of named variants to run directories, on one machine or on a cluster."""

from chanattn.sweep.grid import Published, Sweep

__all__ = ["Published", "Sweep"]
