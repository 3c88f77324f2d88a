"""Six ways to weigh channels, on one recipe: what `make ablation` runs.

    python -m chanattn.sweep --config=configs/ablations/mechanisms.py:digits --workdir=runs/mechanisms

None, squeeze-and-excitation, ECA, CBAM, SimAM and global context, each in its default form and at its
default place.
"""

from ml_collections import ConfigDict

from chanattn.sweep import Sweep
from configs import digits


def get_config(scale: str = "digits") -> ConfigDict:
    """What all variants share, at that scale."""
    return digits.get_config("identity")


def sweep(scale: str = "digits") -> Sweep:
    """The grid; it is the same at every scale."""
    return Sweep(
        title="Six mechanisms on one recipe",
        variants={
            "none": {"model.attention.name": "identity"},
            **{
                name: {"model.attention.name": name}
                for name in ("se", "eca", "cbam", "simam", "gc")
            },
        },
        baseline="none",
        seeds=5,
        note="Does attention among channels help a small network at all, and does it matter which?",
    )
