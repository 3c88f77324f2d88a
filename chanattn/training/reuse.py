"""What a process keeps for its next run: pictures that were read, and programs that were compiled.

A run whose config differs in the seed alone is computed by the very programs of the one before; runs on the
same pictures share them. Nothing of a run's state is kept, so that its numbers are those of a process of its
own.
"""

import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict

from chanattn.training.experiment import Data, Experiment, open_data
from chanattn.training.initial import Initial
from chanattn.training.mesh import setup

_MOST = 32  # experiments, each with the compiled programs of one variant
_MOST_DATA = 2  # sets of pictures, which may lie in memory whole


class Reuse:
    """In place of `Experiment.build`, with a memory."""

    def __init__(self) -> None:
        self._experiments: OrderedDict[str, Experiment] = OrderedDict()
        self._data: OrderedDict[str, Data] = OrderedDict()

    def __call__(self, config: ConfigDict, initial: Callable[..., Initial | None]) -> Experiment:
        """See `Experiment.build`.

        Raises:
            UsageError: as `Experiment.build`.
        """
        if config.model.init:  # what is read there is recorded with each run
            return Experiment.build(config, initial)
        key = _without_seed(config)
        kept = self._experiments.pop(key, None)
        if kept is None:
            kept = Experiment.build(config, initial, self._open_data)
        else:
            setup(config)  # what it sets is put back after every run
            for data, (train, _) in self._data.items():
                if train is kept.train:
                    self._data.move_to_end(data)
                    break
        self._experiments[key] = kept
        if len(self._experiments) > _MOST:
            self._experiments.popitem(last=False)
        return kept.with_seed(config)

    def _open_data(self, config: ConfigDict, *arguments: Any) -> Data:
        """As `open_data`, or what it opened for a run before."""
        told = [config.dataset.to_dict(), config.batch_size, repr(arguments)]
        key = json.dumps(told, default=str)
        data = self._data.pop(key, None) or open_data(config, *arguments)
        self._data[key] = data
        if len(self._data) > _MOST_DATA:
            _, (train, _) = self._data.popitem(last=False)
            for each in [each for each, kept in self._experiments.items() if kept.train is train]:
                del self._experiments[each]
        return data


def _without_seed(config: ConfigDict) -> str:
    return json.dumps({**config.to_dict(), "seed": None}, default=str, sort_keys=True)
