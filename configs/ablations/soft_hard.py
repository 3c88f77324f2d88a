"""Soft against hard channel selection, on the same logits at the same cost. Nobody has published this.

    python -m chanattn.sweep --config=configs/ablations/soft_hard.py:cifar10 --workdir=SWEEP

Every variant but `none` is squeeze-and-excitation with the same two layers and parameters; only the step
from logits to weights differs, see `chanattn.attention.selection`. Soft: the sigmoid, and softmax over
the channels at three temperatures; the colder it is, the nearer to `argmax`, the hotter, the nearer to
`none`. Hard: the k largest of C logits for four shares, the largest alone, Bernoulli and categorical
samples, hard concrete. Control: as many random channels, whatever the logits. Weights of channels that
compete have mean 1, the others lie in [0, 1]. `gumbel_sigmoid` and `hard_concrete` ask for half of the
channels by a penalty in the loss.
"""

from chanattn.sweep import Sweep
from configs.ablations import scales
from configs.ablations.overrides import NONE, Overrides, attention

SHARES = (0.75, 0.5, 0.25, 0.125)
CONTROLS = (0.5, 0.25)
TEMPERATURES = (0.1, 1.0, 10.0)


def _gate(name: str, **options: float) -> Overrides:
    return attention("se", gate=name, **options)


SWEEP = Sweep(
    title="Soft against hard selection of channels",
    note="SE's logits, many ways to make weights of them: is it better to weigh channels or to choose?",
    variants={
        "sigmoid": _gate("sigmoid"),
        "none": NONE,
        **{f"softmax_t{t:g}": _gate("softmax", temperature=t) for t in TEMPERATURES},
        **{f"top_k_{share:g}": _gate("top_k", fraction=share) for share in SHARES},
        "argmax": _gate("argmax"),
        "gumbel_sigmoid": _gate("gumbel_sigmoid"),
        "gumbel_softmax": _gate("gumbel_softmax"),
        "hard_concrete": _gate("hard_concrete"),
        **{f"random_k_{share:g}": _gate("random_k", fraction=share) for share in CONTROLS},
    },
    baseline="sigmoid",
)

get_config, sweep = scales.table(SWEEP)
