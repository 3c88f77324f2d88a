"""Training: mesh, state, step, optimizer, checkpoints and the loop that joins them."""

import chanattn.laboratory  # noqa: F401
