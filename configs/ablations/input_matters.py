"""Does attention need its input? Mechanisms against gates that are blind. Nobody has published this.

    python -m chanattn.sweep --config=configs/ablations/input_matters.py:cifar10 --workdir=SWEEP

`bias_only` is SE with its input ablated: a learned logit for every channel through the same sigmoid, the
same start at 0.5. What `se` and `eca` gain over it is due to the picture; what it gains over `none` is
not. `static` is a learned factor without a gate, `constant` the start of a sigmoid for ever, `random`
fixed random weights.
"""

from chanattn.sweep import Sweep
from configs.ablations import scales
from configs.ablations.overrides import NONE, attention

SWEEP = Sweep(
    title="Does the input matter?",
    note="How much of the gain is left when a gate cannot see the picture?",
    variants={
        "bias_only": attention("bias_only"),
        "none": NONE,
        "constant": attention("constant", value=0.5),
        "random": attention("random"),
        "static": attention("static"),
        "se": attention("se"),
        "eca": attention("eca"),
    },
    baseline="bias_only",
)
get_config, sweep = scales.table(SWEEP)
