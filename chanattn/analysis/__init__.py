"""What networks cost: parameters, multiply-accumulates, speed, memory.

Imports models, and never the training loop. One exception to "analysis imports models, never training":
`chanattn.analysis.cost` measures the training step, and takes it from `chanattn.training.experiment`, so that
what is timed is what `train.py` runs. Nothing of the training imports this package.
"""
