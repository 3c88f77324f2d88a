"""Sweeps: one file a table, with its grid and its published figures; `docs/ablations.md` lists them.

    python -m chanattn.sweep --config=configs/ablations/se_reduction.py:cifar10 --workdir=SWEEP

The argument is a scale of `configs.ablations.scales`, or a scale and an architecture, `cifar10-resnet56`.
Published figures stand beside the results at every scale; their setting says where they are from.
"""
