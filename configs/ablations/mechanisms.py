"""Six ways to weigh channels, each in its default form and at its default place. What `make ablation` runs.

    python -m chanattn.sweep --config=configs/ablations/mechanisms.py:digits --workdir=SWEEP

No attention, squeeze-and-excitation, ECA, CBAM, SimAM and global context. There are no published figures
for these very forms; `simam` has those of its authors' setup.
"""

from chanattn.sweep import Sweep
from configs.ablations import scales
from configs.ablations.overrides import NONE, attention

SWEEP = Sweep(
    title="Six mechanisms on one recipe",
    note="Does attention among channels help, and does it matter which?",
    variants={
        "none": NONE,
        **{name: attention(name) for name in ("se", "eca", "cbam", "simam", "gc")},
    },
    baseline="none",
)
get_config, sweep = scales.table(SWEEP)
