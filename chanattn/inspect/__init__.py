"""Probes of a trained network: what does its attention do?

    network = inspect.Network(model)
    found = inspect.inspection(network, variables, batches, inspect.Classes(names))

`batches()` gives the pictures of a pass, dicts with `image`, `mask`, `index` and `label`. The parts alone:
`Moments` for what varies, `does_it_matter`, `knock_out`, `soft_to_hard`, `colour_tuning`, `Strongest`. They
need JAX, Flax and NumPy; the program `python -m chanattn.inspect RUN`, with its page, is of the laboratory.
See docs/inspection.md.
"""

from chanattn.inspect.importance import knock_out, soft_to_hard
from chanattn.inspect.inspection import Effort, inspection, labels_of
from chanattn.inspect.matters import Programs, does_it_matter
from chanattn.inspect.network import Batch, Batches, Network, Site, modules
from chanattn.inspect.replacement import KINDS
from chanattn.inspect.score import ACCURACY, Answers, Score, cross_entropy
from chanattn.inspect.sees import Strongest, colour_tuning, colours, greys, preference
from chanattn.inspect.varies import Classes, Distributions, Moments, mutual_information, seen
from chanattn.inspect.words import WordMeans, Words

__all__ = [
    "ACCURACY",
    "KINDS",
    "Answers",
    "Batch",
    "Batches",
    "Classes",
    "Distributions",
    "Effort",
    "Moments",
    "Network",
    "Programs",
    "Score",
    "Site",
    "Strongest",
    "WordMeans",
    "Words",
    "colour_tuning",
    "colours",
    "cross_entropy",
    "does_it_matter",
    "greys",
    "inspection",
    "knock_out",
    "labels_of",
    "modules",
    "mutual_information",
    "preference",
    "seen",
    "soft_to_hard",
]
