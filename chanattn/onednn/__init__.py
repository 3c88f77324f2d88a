"""oneDNN's convolutions and batch norm as JAX operations on the CPU.

XLA's own convolutions on the CPU reach a third of the machine's arithmetic rate, and their gradients less;
oneDNN, which PyTorch uses too, comes close to it. The package `onednn-cpu-gomp` brings the library. It is
bound with ctypes, so nothing is compiled: `library` loads it, `primitive` prepares its operations for given
shapes, `team` spreads their threads over the cores, `ffi` makes them callable from compiled JAX programs,
`gate` closes the way to them before the process ends, `operations` are the functions of arrays.

Where the library is absent (another processor or system) `available()` is false, and `operations` must not be
called, as where `ffi.refusal()` gives a reason; `chanattn.layers` then uses XLA alone.
"""

from chanattn.onednn.library import available, reason_absent

__all__ = ["available", "reason_absent"]
