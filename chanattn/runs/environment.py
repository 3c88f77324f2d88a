"""`environment.json`: what a run depends on beside its config, and what it is measured by."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from chanattn.files import write_json
from chanattn.runs import FORMAT
from chanattn.runs.initialisation import Initialisation
from chanattn.runs.json_object import known_fields, read_json
from chanattn.runs.layout import ENVIRONMENT
from chanattn.runs.metric import EARLIER, Metric, from_list, to_list

_OF_THE_RUN = ("metrics", "image_shape", "initialisation", "trainable_parameters")


@dataclasses.dataclass(frozen=True)
class Environment:
    """Written anew by each process that begins or continues a run. What a file lacks is None or empty.

    Attributes:
        started: when the process began.
        command: the program and its arguments.
        python: version.
        system: operating system.
        packages: versions of the packages that numbers depend on.
        git: commit of the source tree, "-dirty" if files differ; None if it is under no version control.
        platform: "cpu", "gpu", "tpu".
        devices: their kinds.
        processes: how many train together.
        cpu_cores: of the machine.
        kernels: what computes convolutions on a CPU.
        variables: environment variables that may change numbers or speed.
        metrics: of the task, the one that decides what is best first; format 1 names none: `EARLIER`.
        image_shape: height, width and channels of the stored pictures; height and width None where they
            differ and are brought to `dataset.image_size`. None: an earlier version did not say.
        initialisation: what was made of `model.init` when the run began; None: it began with drawn weights.
        trainable_parameters: those that `optimizer.freeze` leaves; None: an earlier version, which trained
            all.
    """

    started: str | None = None
    command: tuple[str, ...] = ()
    python: str | None = None
    system: str | None = None
    packages: Mapping[str, str] = dataclasses.field(default_factory=dict)
    git: str | None = None
    platform: str | None = None
    devices: tuple[str, ...] = ()
    processes: int | None = None
    cpu_cores: int | None = None
    kernels: str | None = None
    variables: Mapping[str, str] = dataclasses.field(default_factory=dict)
    metrics: tuple[Metric, ...] = EARLIER
    image_shape: tuple[int | None, int | None, int] | None = None
    initialisation: Initialisation | None = None
    trainable_parameters: int | None = None

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """What a file of any version tells; fields that this version does not know are left out."""
        told = known_fields(cls, values)
        for name in ("packages", "variables"):
            if not isinstance(told.get(name), dict):
                told[name] = {}
        shape = told.get("image_shape")
        if not isinstance(shape, tuple) or len(shape) != 3:
            told["image_shape"] = None
        told["initialisation"] = Initialisation.from_json(told.get("initialisation"))
        return cls(**told | {"metrics": from_list(values.get("metrics"))})

    @classmethod
    def read(cls, directory: Path) -> Self | None:
        """That of a run directory; None if it has none.

        Raises:
            Damaged: the file cannot be read, or is of a later format.
        """
        values = read_json(directory / ENVIRONMENT, FORMAT)
        return None if values is None else cls.from_json(values)

    def to_json(self) -> dict[str, Any]:
        """The content of the file."""
        return {
            "format": FORMAT,
            **self.facts(),
            "metrics": to_list(self.metrics),
            "image_shape": self.image_shape,
            "trainable_parameters": self.trainable_parameters,
            "initialisation": None
            if self.initialisation is None
            else self.initialisation.to_json(),
        }

    def write(self, directory: Path) -> None:
        """Writes it into a run directory, atomically."""
        write_json(directory / ENVIRONMENT, self.to_json())

    def facts(self) -> dict[str, Any]:
        """What the numbers of the run depend on, in the order of the file."""
        names = [field.name for field in dataclasses.fields(self)]
        return {name: getattr(self, name) for name in names if name not in _OF_THE_RUN}
