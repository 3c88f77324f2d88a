"""Where the runs of a sweep are computed. A new place is one file here and one name in `NAMES`.

Such a module has a function `launch(sweep, platform, parallel, stall)` that returns a `Launcher`, and the
flags that it needs, named after it (`--slurm_partition`). What it stands on (Ray) it imports when
called.
"""

import importlib
from pathlib import Path
from types import ModuleType

from chanattn.sweep.launchers.base import Launcher

NAMES = ("local", "ray", "slurm")


def module(name: str) -> ModuleType:
    """The module of a launcher, with its flags defined."""
    return importlib.import_module(f"chanattn.sweep.launchers.{name}")


def create(name: str, sweep: Path, platform: str, parallel: int, stall: float) -> Launcher:
    """A launcher.

    Args:
        name: one of `NAMES`.
        sweep: folder of the sweep.
        platform: `config.platform` of the runs.
        parallel: runs at a time; 0: as many as there is room for.
        stall: seconds after which a worker that makes no progress is ended, see `chanattn.sweep.watch`; 0:
            never.

    Raises:
        UsageError: what it stands on is missing, or cannot be reached.
    """
    launcher: Launcher = module(name).launch(sweep, platform, parallel, stall)
    return launcher
