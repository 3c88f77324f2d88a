"""Trains a model from a config and evaluates it.

    python train.py --config=configs/digits.py --workdir=runs/digits
    python train.py --config=configs/cifar10.py:eca --workdir=runs/eca --config.batch_size=256

Every field of chanattn/config.py can be set with --config.FIELD=VALUE. Started again with the same
command, it continues from the newest checkpoint. Exit codes: 0 done, 2 bad flags or config, 75
preempted and saved (SIGTERM, Ctrl-C, a broken connection, Slurm's signals), 130 ended by a second
Ctrl-C without saving, 1 anything else.
"""

import shlex
from typing import TYPE_CHECKING

from absl import flags

from chanattn import cli
from chanattn.errors import UsageError

if TYPE_CHECKING:
    from ml_collections import ConfigDict

WORKDIR = cli.define_path(
    "workdir", None, "run directory: written, or continued if it holds this run"
)
ALLOW_CONFIG_CHANGE = flags.DEFINE_bool(
    "allow_config_change", False, "continue the run in --workdir although the config differs"
)
COORDINATOR = flags.DEFINE_string(
    "coordinator", None, "HOST:PORT of process 0; with it, several processes train one model"
)
NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "how many processes", lower_bound=1)
PROCESS_ID = flags.DEFINE_integer(
    "process_id", None, "which of them this is, from 0", lower_bound=0
)


def main(config: "ConfigDict") -> None:
    """Trains as the flags say."""
    if not WORKDIR.value:
        raise UsageError("--workdir=DIRECTORY is required")
    from chanattn.prediction.samples import draw_samples_of_run
    from chanattn.report import run_pictures
    from chanattn.training import loop, mesh

    coordinator, processes, number = COORDINATOR.value, NUM_PROCESSES.value, PROCESS_ID.value
    if coordinator is not None and processes is not None and number is not None:
        mesh.initialize_distributed(coordinator, processes, number)
    elif (coordinator, processes, number) != (None, None, None):
        raise UsageError("--coordinator, --num_processes and --process_id go together")
    with mesh.leaving_at_once_if_it_fails():
        loop.train_and_evaluate(
            config, WORKDIR.value, allow_config_change=ALLOW_CONFIG_CHANGE.value
        )
        if mesh.is_primary():
            run_pictures.draw_run(WORKDIR.value)
            draw_samples_of_run(WORKDIR.value)
            run = shlex.quote(str(WORKDIR.value))
            print(f"done: {run}; evaluate it again with `python eval.py --workdir={run}`")


if __name__ == "__main__":
    cli.run(main, config=True)
