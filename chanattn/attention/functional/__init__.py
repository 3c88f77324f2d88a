"""The family's arithmetic as pure functions, for models of any kind: Flax, Equinox, Haiku, plain JAX.

    s = functional.squeeze.mean(x)                # (N, H, W, C) -> (N, C)
    z = s @ w1 @ w2                               # a mix of your own: logits (N, C)
    w = functional.gate.sigmoid(z)                # weights (N, C)
    y = functional.fuse.scale(x, functional.fuse.over_space(w, x))

Nothing here holds parameters or state. `squeeze`, `gate`, `select` and `fuse` have a `get` by name; functions
that belong to a single mechanism stand in its own file, e.g. `chanattn.attention.simam.energy`.
"""

from chanattn.attention.functional import fca, fuse, gate, mix, select, squeeze

__all__ = ["fca", "fuse", "gate", "mix", "select", "squeeze"]
