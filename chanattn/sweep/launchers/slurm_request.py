"""What a job asks of Slurm, and how submitit is told."""

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Request:
    """What one job asks of Slurm.

    Attributes:
        partition: name; empty: the cluster's default.
        minutes: time limit, after which the run saves and is queued again.
        gpus: per job.
        cpus: cores per job.
        memory: as Slurm writes it, "8G"; empty: the cluster's default.
        options: further parameters of submitit (`signal_delay_s`, `setup`, ...) or options of sbatch
            (`account`, `qos`, ...) by name; an empty text stands for an option without a value.
    """

    partition: str = ""
    minutes: int = 60
    gpus: int = 0
    cpus: int = 1
    memory: str = ""
    options: Mapping[str, str] = dataclasses.field(default_factory=dict)


def parameters(request: Request, submitit: Any) -> dict[str, Any]:
    """What submitit's `update_parameters` is given."""
    values: dict[str, Any] = {"time": request.minutes, "cpus_per_task": request.cpus}
    if request.partition:
        values["partition"] = request.partition
    if request.gpus:
        values["gpus_per_node"] = request.gpus
    if request.memory:
        values["mem"] = request.memory
    known = submitit.SlurmExecutor._valid_parameters()
    # A node that dies or is taken away gives its job back to the queue.
    more: dict[str, Any] = {"requeue": True}
    for name, value in request.options.items():
        name = name.replace("-", "_")
        if name in {"setup", "teardown"}:
            values[name] = [value]
        elif name in known and value:
            values[name] = value
        else:
            more[name] = value or True
    return values | {"additional_parameters": more}
