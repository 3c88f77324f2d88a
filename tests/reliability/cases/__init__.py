"""The bad inputs, by kind: each file has `CASES`. A new one is a line there."""

from tests.reliability.case import Case
from tests.reliability.cases import (
    boxes,
    captions,
    command_lines,
    config_files,
    config_values,
    data_sets,
    environments,
    initial_weights,
    predictions,
    reports,
    runs,
    sweeps,
    weights,
)

GROUPS: dict[str, tuple[Case, ...]] = {
    "Flags": command_lines.CASES,
    "Config files": config_files.CASES,
    "Config values": config_values.CASES,
    "Data sets and pictures": data_sets.CASES,
    "Folders with boxes": boxes.CASES,
    "Captions": captions.CASES,
    "Run directories and checkpoints": runs.CASES,
    "Sweeps and searches": sweeps.CASES,
    "Reports": reports.CASES,
    "Weights": weights.CASES,
    "Weights to begin with": initial_weights.CASES,
    "Predictions": predictions.CASES,
    "Environment": environments.CASES,
}
