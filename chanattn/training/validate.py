"""Checks a whole config before anything is built: types, ranges, choices, conflicting fields.

Fields one by one are checked as `chanattn.config` declares them. What only the data or the machine can tell
(does the data set exist, do devices divide the batch) is checked where that is known, with the same kind of
error.
"""

import itertools
from collections.abc import Iterator

from ml_collections import ConfigDict

from chanattn import attention, models, own_modules, tasks
from chanattn.config import FIELDS
from chanattn.data.fit import image_size
from chanattn.errors import UsageError, did_you_mean
from chanattn.fields import NAMES_OF_KINDS, flatten, has_kind, show
from chanattn.models import timm_names

# The options of the mechanisms are not declared: their mechanism knows their ranges.
OPTION_PREFIX = "model.attention."


def validate(config: ConfigDict) -> None:
    """Refuses a config that cannot work.

    Raises:
        UsageError: the first mistake found, by its dotted path, and what would be valid.
    """
    import_modules(config)
    for mistake in field_mistakes(config):
        raise UsageError(mistake)
    _check_length(config)
    _check_batch(config)
    _check_schedule(config)
    _check_data(config)
    _check_model(config)


def with_network_told(config: ConfigDict) -> ConfigDict:
    """A copy whose `model.name` and `model.attention` are the architecture and the mechanism they stand for.

    A name of timm's, or the empty name of the attention, is short for them; a run records what it has.

    Raises:
        UsageError: the names are unknown, or contradict each other.
    """
    told = config.copy_and_resolve_references()
    found = models.meaning(config.model.name, config.model.attention.to_dict())
    told.model.name = found.architecture
    told.model.attention.update(found.attention)
    return told


def import_modules(config: ConfigDict) -> None:
    """Imports what `config.imports` names, so that what these modules register can be named.

    Raises:
        UsageError: one of them is not there, or raises an error.
    """
    names = config.imports if "imports" in config else ()
    if isinstance(names, tuple):  # what else it is, is told with the other fields
        own_modules.import_all((name for name in names if isinstance(name, str)), "imports")


def field_mistakes(config: ConfigDict) -> Iterator[str]:
    """What is wrong with the fields one by one: unknown, absent, out of range, not for the task."""
    fields = flatten(config)
    options = {OPTION_PREFIX + name: kind for name, kind in attention.options().items()}
    known = [*FIELDS, *options]
    for path in fields:
        if path not in known:
            yield f"unknown config field {path}.{did_you_mean(path, known)}"
    task = str(fields.get("task.name"))
    data = tasks.annotations(task)  # None: there is no such task, as `_check_model` says
    for path, field in FIELDS.items():
        if path not in fields:
            yield f"the config lacks {path}; a recipe starts from configs/base.py"
            continue
        mistake = field.mistake(path, fields[path])
        if mistake is None and data is not None:
            mistake = field.misplaced(path, fields[path], task, data)
        if mistake is not None:
            yield mistake
    for path, kind in options.items():
        value = fields.get(path)
        if value is not None and not has_kind(value, kind):
            yield f"{path} must be {NAMES_OF_KINDS[kind]}, not {show(value)}"


def _check_length(config: ConfigDict) -> None:
    given = {name: config[name] for name in ("steps", "epochs", "examples") if config[name]}
    if len(given) == 1:
        return
    if not given:
        raise UsageError("the training has no length: set one of steps, epochs, examples")
    listed = ", ".join(f"{name}={value:g}" for name, value in given.items())
    ways = [
        f"{' '.join(f'--config.{other}=0' for other in given if other != name)} to keep {name}"
        for name in given
    ]
    raise UsageError(f"the training has {len(given)} lengths ({listed}); add {', or '.join(ways)}")


def _check_batch(config: ConfigDict) -> None:
    size, parts = config.batch_size, config.accumulate
    if size % parts:
        raise UsageError(f"batch_size {size} cannot be split into accumulate={parts} equal parts")
    if (
        config.platform in ("auto", "cpu")
        and config.cpu_devices > 1
        and size // parts % config.cpu_devices
    ):
        part = f"batch_size {size}" if parts == 1 else f"batch_size/accumulate {size // parts}"
        raise UsageError(
            f"{part} is not divisible by cpu_devices={config.cpu_devices};"
            " change one of them, or set cpu_devices=0 to let it be chosen"
        )
    if config.examples and config.examples < size:
        raise UsageError(f"examples {config.examples} are fewer than one batch of {size}")


def _check_schedule(config: ConfigDict) -> None:
    schedule = config.schedule
    if schedule.warmup_epochs and schedule.warmup_steps:
        raise UsageError("set schedule.warmup_epochs or schedule.warmup_steps, not both")
    # In the unit that both sides share; if they share none, the schedule compares later.
    lengths = (
        ("schedule.warmup_epochs", schedule.warmup_epochs, "epochs", config.epochs),
        ("schedule.warmup_steps", schedule.warmup_steps, "steps", config.steps),
        (
            "schedule.warmup_steps",
            schedule.warmup_steps,
            "examples",
            config.examples // config.batch_size,
        ),
    )
    for name, warmup, unit, length in lengths:
        if length and warmup > length:
            raise UsageError(
                f"{name} {warmup:g} is longer than the training ({unit}={config[unit]:g}); shorten it"
                f" (--config.{name}=0: no warm-up) or train longer"
            )
    boundaries = schedule.boundaries
    if any(a >= b for a, b in itertools.pairwise(boundaries)):
        raise UsageError(f"schedule.boundaries must rise, not {boundaries}")


def _check_data(config: ConfigDict) -> None:
    dataset, augment = config.dataset, config.dataset.augment
    if dataset.name == "folder" and not dataset.data_dir:
        raise UsageError(
            "dataset.name=folder needs dataset.data_dir: the folder with pictures, as split/class/*.jpg or"
            " beside what the task needs of them"
        )
    if dataset.loader == "device":
        for field, value in (
            ("dataset.workers", dataset.workers),
            ("dataset.augment.random_resized_crop", augment.random_resized_crop),
        ):
            if value:
                raise UsageError(f"{field} is for streamed data; set dataset.loader=stream")
    if augment.random_resized_crop and not dataset.image_size:
        raise UsageError(
            "dataset.augment.random_resized_crop needs dataset.image_size: the size to crop to"
        )
    if augment.random_scale and not (
        len(augment.random_scale) == 2 and augment.random_scale[0] <= augment.random_scale[1]
    ):
        raise UsageError(
            "dataset.augment.random_scale is the least and the largest factor, such as 0.5,2, not"
            f" {augment.random_scale}"
        )
    if augment.pad_crop and (augment.random_scale or augment.crop):
        raise UsageError(
            "dataset.augment.pad_crop is in random_scale and crop already; set it to 0"
        )
    if augment.max_class_share < 1 and not (augment.random_scale or augment.crop):
        raise UsageError(
            "dataset.augment.max_class_share chooses among random scales and parts; set random_scale or crop"
        )
    sides = image_size(dataset.image_size)
    if sides and augment.cutout > min(sides):
        raise UsageError(
            f"dataset.augment.cutout {augment.cutout} is larger than the picture"
            f" (dataset.image_size={dataset.image_size})"
        )


def _check_model(config: ConfigDict) -> None:
    """The architecture and the mechanism exist, and fit each other and the options given."""
    chosen = config.model.attention
    name = config.model.name
    if not timm_names.is_known(name):
        if timm_names.of_timm(name):
            raise timm_names.unknown(name)
        hint = did_you_mean(name, [*models.names(), *timm_names.NETWORKS])
        lists = " `python -m chanattn.models` lists them, with --timm by timm's names."
        raise UsageError(f"unknown model.name {name!r}.{hint or lists}")
    if chosen.name:
        _check_name("model.attention.name", chosen.name, attention.names())
    if chosen.placement:
        _check_name("model.attention.placement", chosen.placement, list(attention.PLACEMENTS))
    _check_name("task.name", config.task.name, tasks.names())
    factor = config.optimizer.new_factor
    if not config.model.init:
        if factor != 1:
            raise UsageError(
                f"optimizer.new_factor={factor} is for what model.init does not load; name something there,"
                " or set it to 1"
            )
        if not config.model.init_strict:
            raise UsageError(
                "model.init_strict=False is for model.init, which names nothing; set it"
            )
    if len(set(chosen.stages)) != len(chosen.stages):
        raise UsageError(f"model.attention.stages names a stage twice: {tuple(chosen.stages)}")
    # Making the module allocates nothing; it checks options, their ranges, placement and slot.
    tasks.network(config, config.model.num_classes or 2)


def _check_name(path: str, name: str, valid: list[str]) -> None:
    if name not in valid:
        hint = did_you_mean(name, valid) or f" There are: {', '.join(valid)}."
        raise UsageError(f"unknown {path} {name!r}.{hint}")
