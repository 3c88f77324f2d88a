"""Checks a whole config before anything is built: types, ranges, choices, conflicting fields.

What only the data or the machine can tell (does the data set exist, do devices divide the batch)
is checked where that is known, with the same kind of error.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ml_collections import ConfigDict

from chanattn import attention, models, tasks
from chanattn.errors import UsageError, did_you_mean
from chanattn.fields import NAMES_OF_KINDS, flatten
from chanattn.layers import kernels
from chanattn.paths import to_path
from chanattn.training import nonfinite


@dataclass(frozen=True)
class Rule:
    """What a field may hold.

    Attributes:
        kind: its type; for `float` a whole number will do, and a boolean is no number.
        wanted: what is valid, in words that complete "must be ...".
        valid: whether a value of that type is in range.
        choices: the valid names, where they can be listed.
    """

    kind: type
    wanted: str
    valid: Callable[[Any], bool]
    choices: tuple[str, ...] = ()


def integer(low: int, high: int | None = None) -> Rule:
    """A whole number in [low, high]."""
    wanted = f"an integer >= {low}" if high is None else f"an integer from {low} to {high}"
    return Rule(int, wanted, lambda value: value >= low and (high is None or value <= high))


def number(low: float, high: float = math.inf, *, ends: str = "[]") -> Rule:
    """A finite number between `low` and `high`; a round bracket in `ends` leaves that end out."""
    upper = "inf)" if high == math.inf else f"{high:g}{ends[1]}"
    return Rule(
        float,
        f"a number in {ends[0]}{low:g}, {upper}",
        lambda value: (
            math.isfinite(value)
            and (value > low or (value == low and ends[0] == "["))
            and (value < high or (value == high and ends[1] == "]"))
        ),
    )


def boolean() -> Rule:
    """True or False."""
    return Rule(bool, "true or false", lambda value: True)


def text(*, empty: bool) -> Rule:
    """Any text."""
    return Rule(
        str, "a text" if empty else "a text that is not empty", lambda value: empty or value
    )


def path() -> Rule:
    """A path of this machine, or nothing; see `chanattn.paths.to_path`."""
    return Rule(str, "a path, or empty for the default", lambda value: not value or _is_path(value))


def choice(*names: str) -> Rule:
    """One of a few names; the empty name stands for "the default"."""
    listed = " | ".join(name or '""' for name in names)
    return Rule(str, listed, lambda value: value in names, names)


def numbers(item: Rule, length: int | None = None, *, empty: bool = False) -> Rule:
    """A tuple whose every element obeys `item`."""
    count = "a tuple" if length is None else f"a tuple of {length}"
    return Rule(
        tuple,
        f"{count}, each {item.wanted}",
        lambda value: (
            (empty or len(value) > 0)
            and length in (None, len(value))
            and all(_has_kind(x, item.kind) and item.valid(x) for x in value)
        ),
    )


PROBABILITY = number(0, 1, ends="[)")  # a rate of dropping: at 1 nothing would be left

RULES: dict[str, Rule] = {
    "seed": integer(0, 2**32 - 1),
    "steps": integer(0),
    "epochs": number(0),
    "examples": integer(0),
    "batch_size": integer(1),
    "accumulate": integer(1),
    "log_every": integer(0),
    "eval_every": integer(0),
    "checkpoint_every": integer(0),
    "platform": choice("auto", "cpu", "gpu", "tpu"),
    "cpu_devices": integer(0),
    "kernels": choice(*kernels.NAMES),
    "compilation_cache": path(),
    "deterministic": boolean(),
    "precision": choice("float32", "bfloat16"),
    "param_dtype": choice("float32", "bfloat16"),
    "dataset.name": text(empty=False),
    "dataset.split": text(empty=False),
    "dataset.eval_split": text(empty=False),
    "dataset.allow_overlap": boolean(),
    "dataset.data_dir": path(),
    "dataset.image_size": integer(0, 16_384),
    "dataset.mean": numbers(number(-math.inf), 3),
    "dataset.std": numbers(number(0, ends="(]"), 3),
    "dataset.loader": choice("auto", "device", "stream"),
    "dataset.workers": integer(0),
    "dataset.max_corrupt": integer(0),
    "dataset.synthetic_examples": integer(1),
    "dataset.synthetic_classes": integer(2),
    "dataset.augment.random_resized_crop": boolean(),
    "dataset.augment.eval_crop": number(0, 1, ends="(]"),
    "dataset.augment.pad_crop": integer(0),
    "dataset.augment.flip": boolean(),
    "dataset.augment.color_jitter": number(0, 1),
    "dataset.augment.rand_augment_ops": integer(0),
    "dataset.augment.rand_augment_magnitude": number(0, 10),
    "dataset.augment.cutout": integer(0),
    "dataset.augment.mixup": number(0),
    "dataset.augment.cutmix": number(0),
    "model.name": text(empty=False),
    "model.num_classes": integer(0),
    "model.shortcut": choice("", "zero_pad", "projection", "avg_pool"),
    "model.zero_init_residual": boolean(),
    "model.stochastic_depth": PROBABILITY,
    "model.dropout": PROBABILITY,
    "model.attention.name": text(empty=False),
    "model.attention.placement": text(empty=True),
    "model.attention.stages": numbers(integer(1, 5), empty=True),
    "model.head": text(empty=True),
    "task.name": text(empty=False),
    "task.label_smoothing": PROBABILITY,
    "task.se_loss_weight": number(0),
    "optimizer.name": choice("sgd", "adamw", "lamb"),
    "optimizer.learning_rate": number(0, ends="(]"),
    "optimizer.momentum": PROBABILITY,
    "optimizer.nesterov": boolean(),
    "optimizer.beta1": PROBABILITY,
    "optimizer.beta2": PROBABILITY,
    "optimizer.eps": number(0, ends="(]"),
    "optimizer.weight_decay": number(0),
    "optimizer.decay_attention": boolean(),
    "optimizer.clip_norm": number(0),
    "schedule.name": choice("cosine", "step", "polynomial", "constant"),
    "schedule.warmup_epochs": number(0),
    "schedule.warmup_steps": integer(0),
    "schedule.boundaries": numbers(number(0, 1, ends="()")),
    "schedule.factor": number(0, ends="(]"),
    "schedule.power": number(0, ends="(]"),
    "schedule.end_factor": number(0, 1),
    "ema.decay": PROBABILITY,
    "checkpoint.keep": integer(1),
    "checkpoint.keep_best": integer(0),
    "checkpoint.keep_every": integer(0),
    "nonfinite.policy": choice(*nonfinite.POLICIES),
    "nonfinite.limit": integer(1),
    "logging.tensorboard": boolean(),
    "logging.wandb_project": text(empty=True),
}
# The options of the mechanisms are not listed: their mechanism knows their ranges.
OPTION_PREFIX = "model.attention."


def validate(config: ConfigDict) -> None:
    """Refuses a config that cannot work.

    Raises:
        UsageError: the first mistake found, by its dotted path, and what would be valid.
    """
    for mistake in field_mistakes(config):
        raise UsageError(mistake)
    _check_length(config)
    _check_batch(config)
    _check_schedule(config)
    _check_data(config)
    _check_model(config)


def field_mistakes(config: ConfigDict) -> Iterator[str]:
    """What is wrong with the fields taken one by one: unknown, absent, of the wrong type, out of range."""
    fields = flatten(config)
    options = {OPTION_PREFIX + name: kind for name, kind in attention.options().items()}
    known = [*RULES, *options]
    for path in fields:
        if path not in known:
            yield f"unknown config field {path}.{did_you_mean(path, known)}"
    for path, rule in RULES.items():
        if path not in fields:
            yield f"the config lacks {path}; a recipe starts from configs/base.py"
            continue
        value = fields[path]
        if not _has_kind(value, rule.kind):
            yield f"{path} must be {rule.wanted}, not {_show(value)}"
        elif not rule.valid(value):
            hint = did_you_mean(value, rule.choices) if rule.choices else ""
            yield f"{path} must be {rule.wanted}, not {_show(value)}.{hint}".rstrip(".")
    for path, kind in options.items():
        value = fields.get(path)
        if value is not None and not _has_kind(value, kind):
            yield f"{path} must be {NAMES_OF_KINDS[kind]}, not {_show(value)}"


def _has_kind(value: object, kind: type) -> bool:
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _is_path(value: str) -> bool:
    try:
        to_path(value)
    except UsageError:
        return False
    return True


def _show(value: object) -> str:
    return f"{value!r} ({type(value).__name__})"


def _check_length(config: ConfigDict) -> None:
    given = {name: config[name] for name in ("steps", "epochs", "examples") if config[name]}
    if len(given) == 1:
        return
    if not given:
        raise UsageError("the training has no length: set one of steps, epochs, examples")
    listed = ", ".join(f"{name}={value:g}" for name, value in given.items())
    raise UsageError(
        f"the training has {len(given)} lengths ({listed}); keep one and set the others to 0"
    )


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
            "dataset.name=folder needs dataset.data_dir: the folder that holds split/class/*.jpg"
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
    if dataset.image_size and augment.cutout > dataset.image_size:
        raise UsageError(
            f"dataset.augment.cutout {augment.cutout} is larger than the picture"
            f" (dataset.image_size={dataset.image_size})"
        )


def _check_model(config: ConfigDict) -> None:
    """The architecture and the mechanism exist, and fit each other and the options given."""
    chosen = config.model.attention
    _check_name("model.name", config.model.name, models.names())
    _check_name("model.attention.name", chosen.name, attention.names())
    if chosen.placement:
        _check_name("model.attention.placement", chosen.placement, list(attention.PLACEMENTS))
    _check_name("task.name", config.task.name, tasks.names())
    if len(set(chosen.stages)) != len(chosen.stages):
        raise UsageError(f"model.attention.stages names a stage twice: {tuple(chosen.stages)}")
    # Making the module allocates nothing; it checks options, their ranges, placement and slot.
    tasks.network(config, config.model.num_classes or 2)


def _check_name(path: str, name: str, valid: list[str]) -> None:
    if name not in valid:
        hint = did_you_mean(name, valid) or f" There are: {', '.join(valid)}."
        raise UsageError(f"unknown {path} {name!r}.{hint}")
