"""Pictures and their fields: sources, loading, augmentation, evaluation.

`training` and `evaluation` are all that a training loop needs; `pictures` tells the shapes without the
data. All read `config.dataset`, and take the names of the fields that a task needs. A batch is a dict of
arrays split over the mesh axis `data`: `image` (B, H, W, 3) float32, `mask` (B,) float32, 1 for real
examples, `index` (B,) int32, the position of the example in its split, and those of the fields
(`chanattn.data.fields`), such as `label` (B,) int32.
"""

import chanattn.laboratory  # noqa: F401
from chanattn.batch import Batch
from chanattn.data.evaluation_data import EvaluationData
from chanattn.data.loaders import (
    Outline,
    Pictures,
    Stored,
    check_num_classes,
    check_shared_memory,
    check_splits,
    evaluation,
    fit_of_any_size,
    on_device,
    outline,
    pictures,
    shared,
    stored,
    training,
)
from chanattn.data.source import annotations
from chanattn.data.sources import open_source
from chanattn.data.training_data import Feed, TrainingData

__all__ = [
    "Batch",
    "EvaluationData",
    "Feed",
    "Outline",
    "Pictures",
    "Stored",
    "TrainingData",
    "annotations",
    "check_num_classes",
    "check_shared_memory",
    "check_splits",
    "evaluation",
    "fit_of_any_size",
    "on_device",
    "open_source",
    "outline",
    "pictures",
    "shared",
    "stored",
    "training",
]
