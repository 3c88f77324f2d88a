"""Mechanisms with a state or a condition."""

from chanattn.interop.names.layouts import SAME
from chanattn.interop.names.rules import Leaf, Rule, Skip, Table

_SCORES = (("ch", "channel_score"), ("sp", "spatial_score"))

TABLES: dict[str, Table] = {
    "dia": (
        Rule(r"lstm\.w_ih\.0\.seq\.0", "input/reduce"),
        Rule(r"lstm\.w_ih\.0\.seq\.2", "input/expand"),
        Rule(r"lstm\.w_hh\.0\.seq\.0", "hidden/reduce"),
        Rule(r"lstm\.w_hh\.0\.seq\.2", "hidden/expand"),
    ),
    # Matrices are stored (in, out) in Theano; a softmax does not see the scalar c.
    "sca": (
        *(
            Leaf(rf"{theirs}_{place}", f"{ours}/{leaf}", SAME)
            for place, ours in _SCORES
            for theirs, leaf in (
                ("Wc", "features/kernel"),
                ("b", "features/bias"),
                ("Wd", "condition/kernel"),
                ("U", "score/kernel"),
            )
        ),
        Skip(r"c_(ch|sp)"),
    ),
}
