"""SE: the excitation's gate. Hu et al., TPAMI 2020 (arXiv:1709.01507), table 12.

    python -m chanattn.sweep --config=configs/ablations/se_gate.py:cifar10 --workdir=SWEEP

SE has no biases, as in the paper's ablations.
"""

from chanattn.sweep import Published, Sweep
from configs.ablations import scales
from configs.ablations.overrides import NONE, attention

SWEEP = Sweep(
    title="SE: gate",
    note="Which function makes weights of the logits? ReLU and tanh start silent, the sigmoid at 0.5.",
    variants={
        "none": NONE,
        **{
            gate: attention("se", gate=gate, use_bias=False) for gate in ("relu", "tanh", "sigmoid")
        },
    },
    baseline="none",
    published=[
        Published(
            source="Squeeze-and-Excitation Networks, TPAMI 2020, table 12; none: table 10",
            setting="SE-ResNet-50, ImageNet, single crop 224",
            metric="top-1 error, %",
            values={"none": 23.30, "relu": 23.47, "tanh": 23.00, "sigmoid": 22.28},
        )
    ],
)
get_config, sweep = scales.table(SWEEP)
