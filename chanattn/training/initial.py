"""`model.init`: weights that a run begins with, from a file, a folder of a hub, or another run."""

import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.sharding import Mesh
from ml_collections import ConfigDict

from chanattn import models, tasks
from chanattn.class_names import difference
from chanattn.data.placement import put_copies, replicated
from chanattn.errors import UsageError
from chanattn.interop import check_architecture, different_preparation, hub_config, read_weights
from chanattn.interop.partial import Fit, fit
from chanattn.interop.timm_networks import same_network
from chanattn.models import parts
from chanattn.paths import to_path
from chanattn.runs.classes import read_classes
from chanattn.runs.environment import Environment
from chanattn.runs.initialisation import Initialisation, Part
from chanattn.runs.json_object import Damaged
from chanattn.runs.layout import CHECKPOINTS, CONFIG
from chanattn.training import manifest as manifests
from chanattn.training.agreement import all_agree, decided
from chanattn.training.checkpoint import Checkpoints
from chanattn.training.config import changed_fields, from_json, to_json
from chanattn.training.evaluate import choose_step
from chanattn.training.evaluate_weights import WEIGHTS, read_state
from chanattn.training.run_directory import has_checkpoint, read_config
from chanattn.training.state import TrainState
from chanattn.training.validate import import_modules

PyTree = Any
_PICKLE = "pytorch_model.bin"
_KINDS = {"raw": False, "ema": True}
_COMPARED = ("dataset.mean", "dataset.std")


@dataclasses.dataclass(frozen=True)
class Initial:
    """What a run begins with, or has begun with.

    Attributes:
        record: what was loaded, for the reader; None if a run that goes on does not tell.
        arrays: to load, by path ("params/stem/conv1/kernel"); None if the run has begun already.
    """

    record: Initialisation | None
    arrays: Mapping[str, np.ndarray] | None

    @property
    def new(self) -> tuple[str, ...]:
        """Paths of the parameters that were not loaded."""
        return () if self.record is None else self.record.fresh


@dataclasses.dataclass(frozen=True)
class _Source:
    """Where weights come from, and what is known of them.

    Attributes:
        arrays: as `chanattn.interop.partial.fit` takes them.
        record: step, kind or checksum.
        notes: where they disagree with the config.
        mistake: why they are not for this network, if something beside the arrays tells that.
        classes: names of the classes that they tell apart, if they say so.
        task: that they were trained for, if it is another; then `arrays` has none of its head.
    """

    arrays: Mapping[str, Any]
    record: Initialisation
    notes: list[str]
    mistake: str | None = None
    classes: Sequence[str] | None = None
    task: str | None = None


def of_run(workdir: Path) -> "Callable[..., Initial | None]":
    """`read` for a run: what has begun already needs, and reads, no file any more."""

    def initial(config: ConfigDict, *about: Any) -> Initial | None:
        if not config.model.init:
            return None
        begun = decided(lambda: _begun(workdir))
        if begun is None:
            return read(config, *about)
        record = Initialisation.from_json(begun["initialisation"])
        if record is None and config.optimizer.new_factor != 1:
            raise UsageError(
                f"{workdir} does not tell what model.init has loaded, which optimizer.new_factor needs to"
                " know; restore its environment.json, or choose another --workdir"
            )
        return Initial(record, None)

    return initial


def _begun(workdir: Path) -> dict[str, Any] | None:
    """Of a run that has a checkpoint, what its environment tells of this."""
    if not has_checkpoint(workdir):
        return None
    try:
        environment = Environment.read(workdir)
    except Damaged:  # as if it were not there: it is written anew
        environment = None
    record = None if environment is None else environment.initialisation
    return {"initialisation": None if record is None else record.to_json()}


def read(
    config: ConfigDict,
    model: models.Network,
    image_shape: tuple[int, int, int],
    class_names: Sequence[str],
    mesh: Mesh,
) -> Initial | None:
    """Reads and checks what `config.model.init` names; every process does.

    Args:
        config: of the run, validated.
        model: its network.
        image_shape: (H, W, 3) of what the network is given.
        class_names: in the order of the labels.
        mesh: devices to read a checkpoint on.

    Returns:
        None if the config names nothing.

    Raises:
        UsageError: it cannot be read, holds numbers that are not finite, or does not fit; or that happened in
            another process.
    """
    if not config.model.init:
        return None
    error: UsageError | None = None
    try:
        found = _read(config, model, image_shape, class_names, mesh)
    except UsageError as caught:
        error = caught
    except OSError as caught:
        error = UsageError(f"model.init={config.model.init} cannot be read: {caught.strerror}")
    if not all_agree(error is None):
        raise error or UsageError(
            f"another process could not use model.init={config.model.init}; all of them must see it"
        )
    return found


def load(arrays: Mapping[str, np.ndarray], state: TrainState, mesh: Mesh) -> TrainState:
    """A state before the first step, with arrays in place of what was drawn; averages begin with them."""

    def placed(tree: PyTree) -> PyTree:
        flat = flatten_dict(tree, sep="/")
        new = {
            path: put_copies(np.asarray(array, flat[path].dtype), mesh)
            for path, array in arrays.items()
        }
        return unflatten_dict(flat | new, sep="/") | {
            name: {} for name, below in tree.items() if not below
        }

    weights = placed(state.weights)
    ema = None if state.ema is None else placed(state.ema)
    return dataclasses.replace(state, **weights, ema=ema)


def _read(
    config: ConfigDict,
    model: models.Network,
    image_shape: tuple[int, int, int],
    class_names: Sequence[str],
    mesh: Mesh,
) -> Initial:
    name, strict = config.model.init, config.model.init_strict
    path, step, ema = _parse(name)
    if decided(lambda: _is_run(path)):
        source = _of_run(path, step, ema, config, model, mesh)
    else:
        if step is not None or ema is not None:
            raise UsageError(f"model.init={name}: what stands behind @ is for runs; {path} is none")
        source = _of_file(path, config, model)
    if strict and source.mistake:
        raise UsageError(source.mistake)
    found = fit(model, source.arrays, image_size=image_shape[:2])
    if source.task is not None:
        found = found.without_head(f"the run is one of {source.task}")
    elif source.classes is not None and difference(source.classes, class_names):
        found = found.without_head("its classes are others")
    mistakes = found.mistakes()
    if strict and mistakes:
        raise UsageError(
            f"model.init={name} are not the weights of this network: {'; '.join(mistakes)}."
            " model.init_strict=False loads what fits"
        )
    if not found.loads_backbone():
        raise UsageError(f"model.init={name}: nothing of it fits the backbone of this network")
    notes = [*([source.mistake] if source.mistake else []), *source.notes]
    record = dataclasses.replace(
        source.record,
        source=name,
        parts=tuple(_parts(found)),
        fresh=tuple(sorted(p.partition("/")[2] for p in found.fresh if p.startswith("params/"))),
        surplus=found.surplus,
        notes=tuple(notes),
    )
    return Initial(record, found.loaded)


def _parse(text: str) -> tuple[Path, int | str | None, bool | None]:
    """Path, step and whether averages are meant, of `PATH[@WORD,...]`; a path that has an @ itself is one."""
    whole, (name, at, words) = to_path(text), text.rpartition("@")
    if os.path.lexists(whole) or not at or not name or not os.path.lexists(to_path(name)):
        return whole, None, None
    step: int | str | None = None
    ema: bool | None = None
    for word in words.split(","):
        if word in _KINDS:
            ema = _KINDS[word]
        elif word == "best" or word.isdecimal():
            step = word if word == "best" else int(word)
        elif word != "newest":
            raise UsageError(
                f"model.init={text}: behind @ stands a step, newest or best, and by choice raw or ema, as in"
                f" {name}@best,raw; not {word!r}"
            )
    return to_path(name), step, ema


def _is_run(folder: Path) -> bool:
    """Whether a path is that of a run, and not of a file or of a folder with one."""
    if not folder.is_dir() or (folder / WEIGHTS).exists():
        return False
    if (folder / CONFIG).exists() or (folder / CHECKPOINTS).exists():
        return True
    if (folder / _PICKLE).exists():
        read_weights(folder / _PICKLE)  # refuses it
    raise UsageError(
        f"{folder} holds neither {WEIGHTS} nor a run, so there is nothing to begin with"
    )


def _of_file(path: Path, config: ConfigDict, model: models.Network) -> _Source:
    file = path / WEIGHTS if path.is_dir() else path
    arrays = read_state(file, allow_pickle=False)
    hub, mistake = hub_config(file), None
    try:
        check_architecture(hub, model, attention=False)
    except UsageError as error:
        mistake = str(error)
    dataset = config.dataset
    ours = {"mean": dataset.mean, "std": dataset.std}
    if dataset.image_size:
        ours |= {"interpolation": "bilinear", "crop_pct": dataset.augment.eval_crop}
    with file.open("rb") as stream:
        checksum = hashlib.file_digest(stream, "sha256").hexdigest()
    record = Initialisation(sha256=checksum)
    return _Source(arrays, record, different_preparation(hub, **ours), mistake)


def _of_run(
    run: Path,
    step: int | str | None,
    ema: bool | None,
    config: ConfigDict,
    model: models.Network,
    mesh: Mesh,
) -> _Source:
    # What several processes do together, they begin together.
    theirs = from_json(decided(lambda: to_json(read_config(run))))
    classes = decided(lambda: read_classes(run))
    averaged = theirs.ema.decay > 0 if ema is None else ema
    with Checkpoints(run / CHECKPOINTS, read_only=True) as checkpoints:
        step = choose_step(run, checkpoints, step)
        saved = checkpoints.manifest(step)
        template = _template(saved, "ema" if averaged else "weights", mesh)
        weights = checkpoints.restore_weights(step, template, ema=averaged)
    arrays = flatten_dict(jax.device_get(weights), sep="/")
    arrays = {path: np.asarray(array, np.float32) for path, array in arrays.items()}
    task = None
    if theirs.task.name != config.task.name:
        task = theirs.task.name
        arrays = {path: each for path, each in arrays.items() if not _in_head(path)}
    record = Initialisation(step=step, weights="ema" if averaged else "raw")
    return _Source(
        arrays,
        record,
        _differences(run, theirs, config),
        _other(run, theirs, model) or _switched_off(run, theirs, config),
        classes,
        task,
    )


def _in_head(path: str) -> bool:
    return parts.part(path.split("/")[1]) == parts.HEAD


def _template(saved: manifests.Manifest, part: str, mesh: Mesh) -> PyTree:
    """Shapes and types of a part of a checkpoint, whatever network it is of."""
    flat = {}
    for path, leaf in saved["leaves"].items():
        if path.startswith(f"{part}/"):
            dtype, shape = manifests.type_and_shape(leaf["array"])
            flat[path.removeprefix(f"{part}/")] = jax.ShapeDtypeStruct(
                shape, dtype, sharding=replicated(mesh)
            )
    return {"params": {}, "batch_stats": {}} | unflatten_dict(flat, sep="/")


def _other(run: Path, theirs: ConfigDict, model: models.Network) -> str | None:
    """Why the network of a run is another one than the model, apart from its attention and its head."""
    import_modules(theirs)
    own = tasks.network(theirs, 2)
    if not isinstance(model, models.Network) or same_network(own, model, attention=False):
        return None
    return (
        f"the run {run} is of model.name={theirs.model.name}"
        + (f" with model.shortcut={theirs.model.shortcut}" if theirs.model.shortcut else "")
        + ", which is another network than this one; model.init_strict=False loads what fits"
    )


def _switched_off(run: Path, theirs: ConfigDict, config: ConfigDict) -> str | None:
    """Why an attention that the run was trained with would have no effect at the start."""
    own, now = theirs.model.attention, config.model.attention
    if own.name != now.name or now.name == "identity" or own.start == now.start:
        return None
    return (
        f"the run {run} was trained with the attention {own.name!r}, which attention.start={now.start} would"
        f" switch off: set config.model.attention.start={own.start!r}"
        if now.start
        else None
    )


def _differences(run: Path, theirs: ConfigDict, config: ConfigDict) -> list[str]:
    same = theirs.model.attention.name == config.model.attention.name != "identity"
    return [
        f"{run} has {path} {before}, the config {now}"
        for path, (before, now) in changed_fields(theirs, config).items()
        if path in _COMPARED or (same and path.startswith("model.attention."))
    ]


def _parts(found: Fit) -> Iterator[Part]:
    """By part of the network, in the order of its parameters."""
    loaded: dict[str, int] = {}
    fresh: dict[str, int] = {}
    reasons: dict[str, dict[str, None]] = {}
    for path, shape in found.shapes.items():
        collection, *modules = path.split("/")
        name, count = parts.part(modules[0]), shape.size if collection == "params" else 0
        into, other = (fresh, loaded) if path in found.fresh else (loaded, fresh)
        into[name] = into.get(name, 0) + count
        other.setdefault(name, 0)
        if path in found.fresh:
            added = parts.is_attention(modules) and name != parts.HEAD
            what = "attention " if added else ""
            reasons.setdefault(name, {})[what + found.fresh[path]] = None
    for name in sorted(loaded, key=parts.order):
        yield Part(name, loaded[name], fresh[name], tuple(reasons.get(name, ())))
