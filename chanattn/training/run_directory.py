"""Begins, continues and ends a run directory, whose files are those of `chanattn.runs`.

It is the only interface between training, sweeps and reports: every file is written atomically, so that a
reader never sees half of one, and the presence of `summary.json` means that the run is done.
"""

import dataclasses
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from chanattn import __version__
from chanattn.class_names import difference, fingerprint
from chanattn.data.source import ImageShape
from chanattn.data.vocabulary import is_vocabulary
from chanattn.errors import RunFailed, UsageError, some
from chanattn.layers import kernels
from chanattn.runs.classes import read_classes, write_classes
from chanattn.runs.config import Config
from chanattn.runs.environment import Environment
from chanattn.runs.initialisation import Initialisation
from chanattn.runs.layout import CHECKPOINTS, CLASSES, CONFIG, INDEX, RUNS, SUMMARY
from chanattn.runs.metric import EARLIER, Metric
from chanattn.runs.summary import Summary
from chanattn.training import plain_path
from chanattn.training.agreement import decided
from chanattn.training.config import changed_fields, from_json
from chanattn.training.folders import folders
from chanattn.training.space import check_writable

_BELOW = 300  # bytes: the longest path in a run directory, which Orbax or an evaluation makes
_MOST_NAMED = 5  # of many changes, or runs, in a message

PACKAGES = (
    *("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "ml-collections"),
    *("grain", "tensorflow-datasets", "opencv-python-headless", "scikit-learn"),
)


def check_run(
    workdir: str | os.PathLike[str], config: ConfigDict, *, allow_config_change: bool = False
) -> None:
    """Refuses a directory that cannot become, or continue as, a run of `config`; writes nothing.

    Raises:
        UsageError: the directory cannot be written, it holds a sweep, or a run with another config and
            `allow_config_change` is False; the message lists the fields that differ.
    """
    if "://" in os.fspath(workdir):
        raise UsageError(
            f"--workdir={os.fspath(workdir)} is an address, and a run is kept in a folder: mount it, or "
            "train in a folder and copy that"
        )
    directory = Path(workdir)
    check_writable(directory)
    _check_room_for_names(directory.absolute())
    plain_path.check(directory.absolute())
    if not (directory / CONFIG).exists():
        if (directory / CHECKPOINTS).exists():
            raise UsageError(
                f"{directory} holds checkpoints but no {CONFIG}, so what they belong to is unknown;"
                " choose another --workdir"
            )
        if (directory / INDEX).is_file():
            raise UsageError(
                f"{directory} holds a sweep, whose runs `python -m chanattn.sweep` trains; choose another"
                " --workdir"
            )
        return
    changes = changed_fields(read_config(directory), config)
    if changes and not allow_config_change:
        listed = some(
            (f"{path} {old!r} -> {new!r}" for path, (old, new) in changes.items()), _MOST_NAMED
        )
        raise UsageError(
            f"{directory} holds a run with another config ({listed}); choose another --workdir, or"
            " continue that run with --allow_config_change"
        )
    if not allow_config_change and has_checkpoint(directory):
        check_parts(directory, config, config.dataset.split, config.dataset.eval_split)


def check_parts(workdir: str | os.PathLike[str], config: ConfigDict, *splits: str) -> None:
    """Refuses parts of splits that held other pictures when a run was begun, by an earlier version.

    There a part was a stretch of the source's own order; now it is a fair sample (`chanattn.data.split`).

    Raises:
        UsageError: one of the splits is such a part.
    """
    from chanattn.data.sources import SOURCES  # readers of run directories do without

    stored = Config.read(Path(workdir))
    older = stored is not None and "dataset.allow_overlap" in stored.added
    for split in splits:
        if older and "[" in split and config.dataset.name in SOURCES:
            raise UsageError(
                f"the run in {workdir} was begun by an earlier version, for which {split} was other pictures,"
                " so that it may have been trained on some of those that it would be evaluated on; choose"
                " another --workdir, or a whole split"
            )


def open_run(
    workdir: str | os.PathLike[str],
    config: ConfigDict,
    metrics: tuple[Metric, ...],
    image_shape: ImageShape | None = None,
    *,
    initialisation: Initialisation | None = None,
    trainable: int | None = None,
    allow_config_change: bool = False,
) -> bool:
    """Makes `workdir` the directory of a run of `config`, or continues the run that it holds.

    With several processes all of them call this, and the first one writes.

    Args:
        workdir: the run directory.
        config: of the run.
        metrics: of its task, the one that decides what is best first.
        image_shape: of the stored pictures, see `Environment`.
        initialisation: what was made of `model.init`.
        trainable: parameters that are trained.
        allow_config_change: continue a run that has another config.

    Returns:
        Whether the directory holds a checkpoint to continue from.

    Raises:
        UsageError: as `check_run`; nothing is written then.
    """

    def opened() -> bool:
        facts = environment(metrics, image_shape)
        facts = dataclasses.replace(
            facts, initialisation=initialisation, trainable_parameters=trainable
        )
        return _open_run(workdir, config, facts, allow_config_change)

    return decided(opened)


def _open_run(
    workdir: str | os.PathLike[str],
    config: ConfigDict,
    facts: Environment,
    config_change: bool,
) -> bool:
    check_run(workdir, config, allow_config_change=config_change)
    directory = Path(workdir)
    resumed = has_checkpoint(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if (directory / CONFIG).exists() and changed_fields(read_config(directory), config):
            (directory / SUMMARY).unlink(missing_ok=True)  # it told of the run as it was
        Config(config.to_dict()).write(directory / CONFIG)
        facts.write(directory)
    except OSError as error:
        raise UsageError(_unwritable(directory, error)) from error
    return resumed


def check_classes(workdir: str | os.PathLike[str], names: Sequence[str]) -> bool:
    """Refuses data whose labels mean something else than those that a run was trained on; writes nothing.

    Args:
        workdir: the run directory, which may be new.
        names: of the classes of the data set, in the order of the labels.

    Returns:
        False if the run has been trained on classes that it does not tell, because an older version began it.

    Raises:
        UsageError: the classes are others; or the processes of the run see different ones.
    """
    recorded = decided(lambda: _recorded(Path(workdir), names))
    words = is_vocabulary(names)
    called = ("word", "words") if words else ("class", "classes")
    wrong = None if recorded is None else difference(recorded, names, *called)
    if (
        jax.process_count() > 1
    ):  # all go on, or none: the others would wait for the one that does not
        here = np.asarray([wrong is not None, fingerprint(names)], np.int32)
        everywhere = multihost_utils.process_allgather(here)
        if not wrong and (everywhere != [0, here[1]]).any():
            wrong = "another process has others"
    if wrong and words:
        raise UsageError(
            f"the vocabulary of the captions is not that which the run in {workdir} was trained with"
            f" ({wrong}); restore the captions of the training split, or choose another --workdir"
        )
    if wrong:
        raise UsageError(
            f"the classes of the data set are not those that the run in {workdir} was trained on ({wrong});"
            " restore them, or choose another --workdir. If they were only renamed, write the new names"
            f" into {Path(workdir) / CLASSES}, each in the place of the old one"
        )
    return recorded is not None


def record_classes(workdir: str | os.PathLike[str], names: Sequence[str]) -> None:
    """Writes `classes.json` unless a run that is continued has it; only the first process does."""
    directory = Path(workdir)
    if jax.process_index() != 0:
        return
    if has_checkpoint(directory) and read_classes(directory) is not None:
        return
    write_classes(directory, names)


def _recorded(directory: Path, names: Sequence[str]) -> list[str] | None:
    recorded = read_classes(directory) if has_checkpoint(directory) else names
    return None if recorded is None else list(recorded)


def has_checkpoint(directory: Path) -> bool:
    """Whether a run has begun, so that it is continued."""
    return bool(folders(directory / CHECKPOINTS))


def read_config(workdir: str | os.PathLike[str]) -> ConfigDict:
    """The config of the run in `workdir`.

    Raises:
        UsageError: there is no run, or a sweep of several, or its config cannot be read.
    """
    path = Path(workdir) / CONFIG
    try:
        return from_json(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        if (path.parent / INDEX).is_file():
            raise UsageError(_several(path.parent)) from error
        raise UsageError(f"{workdir} holds no run: there is no {path}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            f"{path} cannot be read ({error}); restore it, or choose another --workdir"
        ) from error


def _several(sweep: Path) -> str:
    """That a folder holds a sweep, and which runs there are."""
    runs = sorted(str(path.parent) for path in (sweep / RUNS).rglob(CONFIG))
    told = (
        f"name one of its runs: {some(runs, _MOST_NAMED)}" if runs else "none of its runs has begun"
    )
    return f"{sweep} is a sweep, not a run; {told}"


def finish(workdir: str | os.PathLike[str], summary: Summary) -> None:
    """Writes `summary.json`, which says that a run is done; only the first process does.

    Raises:
        RunFailed: it cannot be written.
    """
    if jax.process_index() != 0:
        return
    try:
        summary.write(Path(workdir))
    except OSError as error:
        path = Path(workdir) / SUMMARY
        raise RunFailed(
            f"the run is done and saved, but {path} could not be written ({error.strerror}); mend that, "
            "and the same command writes it"
        ) from error


def environment(
    metrics: tuple[Metric, ...] = EARLIER, image_shape: ImageShape | None = None
) -> Environment:
    """What a run depends on beside its config: versions, devices, flags, source revision.

    Args:
        metrics: that it is measured by.
        image_shape: of its stored pictures.
    """
    devices = jax.devices()
    return Environment(
        started=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        command=tuple(command_line()),
        python=platform.python_version(),
        system=platform.platform(),
        packages=versions(),
        git=git_revision(),
        platform=devices[0].platform,
        devices=tuple(device.device_kind for device in devices),
        processes=jax.process_count(),
        cpu_cores=os.cpu_count(),
        kernels=kernels.current(),
        variables={
            name: value
            for name, value in sorted(os.environ.items())
            if name.startswith(("JAX_", "XLA_", "GLIBC_", "TFDS_", "CUDA_VISIBLE", "OMP_"))
        },
        metrics=metrics,
        image_shape=image_shape,
    )


def command_line() -> list[str]:
    """The program and its arguments, without the folder that it was started in, which tells nothing."""
    here = f"{Path.cwd()}{os.sep}"
    return [argument.replace(here, "") for argument in sys.argv]


def _check_room_for_names(directory: Path) -> None:
    """Refuses a path so long that what a run writes below it would have none."""
    longest = os.pathconf("/", "PC_PATH_MAX")
    length = len(os.fsencode(directory))
    if length + _BELOW > longest:
        raise UsageError(
            f"the path of --workdir has {length} bytes; a run needs {_BELOW} for its own files, and "
            f"{longest} are possible: choose a shorter one"
        )


def _unwritable(directory: Path, error: OSError) -> str:
    return f"cannot write to {directory}: {error.strerror}; choose another --workdir"


def versions() -> dict[str, str]:
    """Of the package and of what its numbers depend on."""
    return {"chanattn": __version__} | {name: metadata.version(name) for name in PACKAGES}


def git_revision() -> str | None:
    """The commit of the source tree, `-dirty` if files differ; None if git does not track the package.

    A repository that merely lies above an installed copy, such as one with a virtual environment in it, says
    nothing about the package.
    """
    package = Path(__file__).parents[1]
    # A hook of git runs with the variables of its own repository, which would be asked instead.
    environment = {name: value for name, value in os.environ.items() if name[:4] != "GIT_"}
    try:
        for command in (
            "ls-files --error-unmatch __init__.py",
            "describe --always --dirty --abbrev=40",
        ):
            answer = subprocess.run(
                ["git", "-C", str(package), *command.split()],
                capture_output=True,
                text=True,
                timeout=10,
                check=True,
                env=environment,
            )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
