"""Does attention need its input? Mechanisms against gates that are blind. Nobody has published this.

    python -m chanattn.sweep --config=configs/ablations/input_matters.py:cifar10 --workdir=SWEEP

`bias_only` is SE with its input ablated: a learned logit for every channel through the same sigmoid, the
same start at 0.5. What `se` gains over it is due to the picture; what it gains over `none` is not. The other
mechanisms differ from it in more than that. `static` is a learned factor without a gate, `constant` the start
of a sigmoid for ever, `random` fixed random weights. `python -m chanattn.inspect RUN` asks the trained ones.
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
        **{name: attention(name) for name in ("se", "eca", "cbam", "gc", "sk")},
    },
    baseline="bias_only",
)
get_config, sweep = scales.table(SWEEP)
