"""FcaNet: the basis. Qin et al., ICCV 2021 (arXiv:2012.11879), the table of the authors' README.

    python -m chanattn.sweep --config=configs/ablations/fca_basis.py:cifar10 --workdir=SWEEP

16 components of the cosine transform against uniform random numbers, fixed or learned from there.
"""

from chanattn.sweep import Published, Sweep
from configs.ablations import scales
from configs.ablations.overrides import NONE, attention

BASES = {
    "fixed_dct": {"basis": "fixed", "frequencies": "top16"},
    "learned_dct": {"basis": "learned", "frequencies": "top16"},
    "fixed_random": {"basis": "random"},
    "learned_random": {"basis": "learned_random"},
}
SWEEP = Sweep(
    title="FcaNet: basis",
    note="Is it the cosines, or would any projection of a channel's map do?",
    variants={
        "none": NONE,
        **{name: attention("fca", **options) for name, options in BASES.items()},
    },
    baseline="none",
    published=[
        Published(
            source="github.com/cfzd/FcaNet, README; none: FcaNet, ICCV 2021, table 1",
            setting="ResNet-50, ImageNet, single crop 224",
            metric="top-1 accuracy, %",
            higher_is_better=True,
            values={
                "none": 77.27,
                "fixed_dct": 78.574,
                "learned_dct": 78.352,
                "fixed_random": 77.742,
                "learned_random": 77.914,
            },
        )
    ],
)
get_config, sweep = scales.table(SWEEP)
