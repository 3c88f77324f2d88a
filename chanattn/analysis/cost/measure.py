"""Counts and timings of several configs, side by side."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ml_collections import ConfigDict

from chanattn import data, tasks
from chanattn.analysis.cost.programs import Programs, compile_programs
from chanattn.analysis.hardware import hardware
from chanattn.analysis.modules import CONVENTIONS, NetworkCost, network_cost
from chanattn.analysis.timing import Spread, take_turns
from chanattn.data.captions import FIELD
from chanattn.errors import UsageError
from chanattn.layers import kernels
from chanattn.training.config import to_json
from chanattn.training.reuse import Reuse
from chanattn.training.run_directory import environment
from chanattn.training.validate import validate

FORMAT = 1
ROUNDS, SECONDS = 10, 0.03
TIMES = ("train_step_ms", "infer_ms", "infer_latency_ms")

CAPTIONS = "a caption has as many words as task.longest allows"
MEMORY = (
    "peak memory is what XLA has planned for the training step on one device: arguments, results and"
    " temporaries, without the data set, nor what oneDNN's kernels allocate for themselves"
)


def of_configs(
    configs: Mapping[str, ConfigDict],
    *,
    batch_size: int | None = None,
    rounds: int = ROUNDS,
    seconds: float = SECONDS,
    speed: bool = True,
    note: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """What each of several configs costs: the content of `cost.json`.

    All programs are timed in turns, round by round, so that a machine that slows down does so for all of
    them. The data need not be there, see `chanattn.data.pictures`. JAX is started, and on an accelerator
    takes its memory, until this process ends.

    Args:
        configs: Complete configs by the names of their variants.
        batch_size: In place of their own.
        rounds: How often each program has its turn.
        seconds: About how long a turn takes.
        speed: False: counts alone, nothing is compiled; times, rates and memory are None.
        note: Called with what is done next.

    Returns:
        {"format", "hardware", "how", "conventions", "variants"}, for every variant: `parameters`, `macs`,
        `elementwise` (products that are no MACs) and the share of the mechanisms in them (`attention`); the
        times `train_step_ms`, `infer_ms` and `infer_latency_ms` (one picture, one device) and the rates
        `train_images_per_s` and `infer_images_per_s`, each as {"median", "low", "high", "rounds"}, where low
        and high are the extremes of the rounds; `peak_memory_bytes`; and what that holds for: `batch_size`,
        `precision`, `image_shape`, `num_classes`, `devices`, `kernels`.

    Raises:
        UsageError: A config that cannot work, by the name of its variant.
    """
    prepared = {name: _with_batch(config, batch_size) for name, config in configs.items()}
    variants, programs, build = {}, {}, Reuse()
    with kernels.chosen("auto"):  # a config chooses its own; afterwards all is as it was
        pictures = {name: _checked(name, config) for name, config in prepared.items()}
        for number, (name, config) in enumerate(prepared.items(), 1):
            doing = "compiling" if speed else "counting"
            note(f"{doing} {name} ({number} of {len(prepared)})")
            try:
                variants[name] = counts(config, pictures[name])
                if speed:
                    programs[name] = compile_programs(config, pictures[name], build)
            except UsageError as error:
                raise UsageError(f"{name}: {error}") from error
        timings = _time(programs, prepared, rounds, seconds, note)
    for name, entry in variants.items():
        entry |= timings.get(name, dict.fromkeys(_SPEED))
    return {
        "format": FORMAT,
        "hardware": hardware(),
        "how": _how() | ({"rounds": rounds, "seconds_a_turn": seconds} if speed else {}),
        "conventions": _conventions(prepared.values(), speed),
        "variants": variants,
    }


def _checked(name: str, config: ConfigDict) -> data.Pictures:
    """The pictures of a config that can work, so that a mistake in one is told before any is compiled."""
    try:
        validate(config)
        return pictures_of(config)
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from error


def pictures_of(config: ConfigDict) -> data.Pictures:
    """What the network of a config is given."""
    return data.pictures(config, tasks.create(config.task).fields)


def counts(config: ConfigDict, pictures: data.Pictures) -> dict[str, Any]:
    """The part of an entry that needs no running."""
    cost = network(config, pictures)
    own = cost.attention_total
    return {
        "parameters": cost.total.parameters,
        "macs": cost.total.macs.total,
        "elementwise": cost.total.macs.elementwise,
        "attention": {
            "parameters": own.parameters,
            "macs": own.macs.total,
            "elementwise": own.macs.elementwise,
        },
        "batch_size": config.batch_size,
        "precision": config.precision,
        "image_shape": list(pictures.image_shape),
        "num_classes": pictures.num_classes,
    }


def network(config: ConfigDict, pictures: data.Pictures) -> NetworkCost:
    """The network of a config, counted."""
    model = tasks.network(config, pictures.num_classes)
    return network_cost(model, pictures.image_shape, tasks.create(config.task).typical_inputs(1))


_SPEED = (
    *TIMES,
    *("train_images_per_s", "infer_images_per_s"),
    *("devices", "kernels", "peak_memory_bytes"),
)


def _time(
    programs: Mapping[str, Programs],
    configs: Mapping[str, ConfigDict],
    rounds: int,
    seconds: float,
    note: Callable[[str], None],
) -> dict[str, dict[str, Any]]:
    # Configs that differ in the batch alone have one latency, which is measured once.
    alike = {name: _without_batch(configs[name]) for name in programs}
    timed = {("latency", alike[name]): own.latency for name, own in programs.items()}
    timed |= {("train", name): own.train for name, own in programs.items()}
    timed |= {("infer", name): own.infer for name, own in programs.items()}
    turns = take_turns(timed, rounds=rounds, seconds=seconds, tick=note)
    entries = {}
    for name, own in programs.items():
        batch = configs[name].batch_size
        train, infer = turns["train", name].seconds, turns["infer", name].seconds
        entries[name] = {
            "train_step_ms": _spread([1e3 * each for each in train]),
            "train_images_per_s": _spread([batch / each for each in train]),
            "infer_ms": _spread([1e3 * each for each in infer]),
            "infer_images_per_s": _spread([batch / each for each in infer]),
            "infer_latency_ms": _spread([1e3 * s for s in turns["latency", alike[name]].seconds]),
            "devices": own.devices,
            "kernels": own.kernels,
            "peak_memory_bytes": own.peak_memory_bytes,
        }
    return entries


def _conventions(configs: Iterable[ConfigDict], speed: bool) -> str:
    """What the figures of these configs rest on."""
    captions = any(FIELD in tasks.create(config.task).fields for config in configs)
    told = (CONVENTIONS, CAPTIONS if captions else "", MEMORY if speed else "")
    return "; ".join(filter(None, told))


def _spread(values: Sequence[float]) -> dict[str, Any]:
    rounded = [float(f"{value:.6g}") for value in values]
    return asdict(Spread.of(rounded)) | {"rounds": rounded}


def _with_batch(config: ConfigDict, batch_size: int | None) -> ConfigDict:
    copy = config.copy_and_resolve_references()
    if batch_size is not None:
        copy.batch_size = batch_size
    return copy


def _without_batch(config: ConfigDict) -> str:
    copy = config.copy_and_resolve_references()
    copy.batch_size = copy.accumulate = 1
    return to_json(copy)


def _how() -> dict[str, Any]:
    facts = environment()
    return {
        "command": ["python", *sys.orig_argv[1:]],
        "written": facts.started,
        "versions": {"python": facts.python, **facts.packages},
        "git": facts.git,
        "variables": facts.variables,
    }
