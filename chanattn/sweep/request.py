"""What a command line asks for: a grid, or a search."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from chanattn.runs.metric import Metric
from chanattn.sweep import launchers, store
from chanattn.sweep.grid import Sweep
from chanattn.sweep.launchers.base import Job, Launcher
from chanattn.sweep.space import Space
from chanattn.training.config import flatten
from chanattn.training.experiment import Outline
from chanattn.training.validate import with_network_told


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What both have in common.

    Attributes:
        file: the sweep file with its argument.
        recipe: what all runs share.
        changed: fields of the file's recipe that the command line has changed, by path: (before, now).
        seeds: of every variant or trial.
        workdir: folder of the sweep.
        launcher: name of the launcher.
        parallel: runs at a time; 0: the launcher's own choice.
        max_losses: see `Controller`.
        stall: see `launchers.create`.
    """

    file: str
    recipe: ConfigDict
    changed: Mapping[str, tuple[Any, Any]]
    seeds: Sequence[int]
    workdir: Path
    launcher: str
    parallel: int
    max_losses: int
    stall: float

    def launch(self) -> Launcher:
        """The launcher; to be closed.

        Raises:
            UsageError: what it stands on is missing, or cannot be reached.
        """
        return launchers.create(
            self.launcher, self.workdir, self.recipe.platform, self.parallel, self.stall
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class GridRequest(Request):
    """Variants to be trained and compared.

    Attributes:
        grid: all variants.
        outlines: what is known of their trainings, by variant.
        variants: those to be trained now.
        retry_failed: try failed runs again.
        cost: measure the cost of each variant at the end.
    """

    grid: Sweep
    outlines: Mapping[str, Outline]
    variants: Sequence[str]
    retry_failed: bool
    cost: bool

    @property
    def name(self) -> str:
        """Of the sweep: that of its file."""
        return Path(self.file.partition(":")[0]).stem

    @property
    def total_steps(self) -> dict[str, int]:
        """Of a run, by variant."""
        return {name: outline.total_steps for name, outline in self.outlines.items()}

    @property
    def class_names(self) -> dict[str, tuple[str, ...]]:
        """Of the data set, by variant."""
        return {name: outline.class_names for name, outline in self.outlines.items()}

    def jobs(self) -> list[Job]:
        """The runs, all variants with the first seed first, so that a whole table is there early."""
        return [
            store.job(self.workdir, variant, seed)
            for seed in self.seeds
            for variant in self.variants
        ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchRequest(Request):
    """Trials to be made until the best choice is known; the recipe has the splits of `honest_splits`.

    Attributes:
        class_names: of the recipe's data set, in the order of the labels.
        space: what a trial chooses.
        trials: how many, those of earlier calls included.
        metric: of the last evaluation of a run; a trial's value is the mean over its seeds.
        prune: stop a trial whose first seed lags behind the median of the others.
        search_seed: of the choices.
    """

    class_names: Sequence[str]
    space: Space
    trials: int
    metric: Metric
    prune: bool
    search_seed: int

    def jobs(self, number: int) -> list[Job]:
        """The runs of a trial."""
        return [store.job(self.workdir, f"trial_{number:04d}", seed) for seed in self.seeds]

    def fixed(self) -> dict[str, Any]:
        """All that must stay the same for trials to be comparable, by name."""
        fields = {
            path: value
            for path, value in flatten(with_network_told(self.recipe)).items()
            if path != "seed" and path not in self.space
        }
        return {
            "seeds": list(self.seeds),
            "metric": self.metric.name,
            "search_seed": self.search_seed,
            **{f"space of {path}": each.to_json() for path, each in self.space.items()},
            **fields,
        }
