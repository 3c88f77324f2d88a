"""One of two processes of a run, the second of which sees the shared disk late or wrongly.

It prints what it decides, which must be the same in both.

python two_views.py COORDINATOR NUMBER DIRECTORY
"""

import os
import signal
import sys
import time
from pathlib import Path

import jax
import numpy as np
import optax
from jax.sharding import AxisType

from chanattn.errors import UsageError
from chanattn.tasks.classification import Classification
from chanattn.training import checkpoint, recovery
from chanattn.training.agreement import decided
from chanattn.training.checkpoint import Checkpoints
from chanattn.training.interrupt import Interrupt
from chanattn.training.lock import exclusive
from chanattn.training.mesh import initialize_distributed
from chanattn.training.recovery import restore_newest
from chanattn.training.retention import Retention
from chanattn.training.state import abstract_state, make_init
from tests.training.conftest import TinyNet

LATE = 1.0  # seconds


def see_late(names):
    """Another view than that of process 0: older folders, and no files for a while."""
    start = time.monotonic()
    complete = checkpoint.complete
    checkpoint.folders = lambda directory: {name: directory / str(name) for name in names}
    checkpoint.complete = lambda directory: (
        complete(directory) if time.monotonic() - start > LATE else []
    )


def main(coordinator, number, directory):
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", 1)
    initialize_distributed(coordinator, 2, number)
    mesh = jax.make_mesh((2,), ("data",), axis_types=(AxisType.Auto,))
    template = abstract_state(
        make_init(TinyNet(), optax.adamw(0.1), Classification(), (6, 6, 3), ema=False, mesh=mesh)
    )
    with exclusive(directory), Checkpoints(directory / "lr[0.1]", Retention(3)) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(
                jax.tree.map(
                    lambda leaf, step=step: jax.make_array_from_callback(
                        leaf.shape,
                        leaf.sharding,
                        lambda index: np.full(leaf.shape, step, leaf.dtype)[index],
                    ),
                    template,
                ),
                {"step": step},
            )
        checkpoints.wait()
        if number == 0:  # damage that process 0 finds, and the other one cannot see
            (directory / "lr[0.1]" / "3" / "progress" / "metadata").write_text("{}")
        else:
            see_late([1])
        print("steps", checkpoints.steps(), "latest", checkpoints.latest())
        (state, values), damaged = restore_newest(checkpoints, template)
        print("restored", int(state.step), values, [error.step for error in damaged])
        recovery._MOST_SECONDS = 0.5
        if number == 1:
            see_late([1, 2, 3, 4])
        try:
            restore_newest(checkpoints, template)
        except UsageError as error:
            print("refused", "not for all of them" in str(error))

    def refuse():
        raise UsageError("process 0 refuses")

    try:
        decided(refuse)
    except UsageError as error:
        print(error)
    with Interrupt() as interrupt:
        start = time.monotonic()
        for _ in range(100):
            interrupt.received_anywhere()
        print(f"asking takes {(time.monotonic() - start) * 10:.2f} ms", file=sys.stderr)
        if number == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        print("told to stop", interrupt.received_anywhere())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
