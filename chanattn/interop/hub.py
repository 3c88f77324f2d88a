"""The `config.json` that a hub's folder has beside its weights, and whether these are a network's.

timm 1.0.31, models/_hub.py: `architecture` is a name of timm's, `pretrained_cfg` tells how the pictures were
prepared (older files have these fields at the top). Anti-aliased networks and those with TensorFlow's padding
have the names and shapes of the plain ones: from the arrays alone nobody can tell them apart.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from chanattn import models
from chanattn.errors import UsageError
from chanattn.interop.timm_networks import same_network
from chanattn.models.timm_names import NETWORKS, unknown

FILE = "config.json"
_OWN = (
    "chanattn_"  # what `chanattn.export` puts before the names of networks that timm does not have
)


@dataclass(frozen=True)
class HubConfig:
    """What a hub's `config.json` says of the weights beside it; None: nothing.

    Attributes:
        path: The file.
        architecture: As timm calls it, without the tag of the weights; or "chanattn_..." of an export.
        num_classes: Outputs of the classifier.
        mean: Of the pixel values in [0, 1], by channel.
        std: Their standard deviation.
        interpolation: How pictures were resized: "bilinear", "bicubic", ...
        crop_pct: Which part of the resized picture an evaluation takes.
        input_size: Channels, height and width of the pictures.
        network: The `model` section of the config of an exported run.
    """

    path: Path
    architecture: str
    num_classes: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    interpolation: str | None = None
    crop_pct: float | None = None
    input_size: tuple[int, ...] | None = None
    network: Mapping[str, Any] | None = None


def hub_config(folder: str | os.PathLike[str]) -> HubConfig | None:
    """The hub's `config.json` of a folder, or beside a file of weights.

    Returns:
        What it says; None if there is none, or one of another kind, which names no `architecture`.

    Raises:
        UsageError: It cannot be read, or a field is not what it should be.
    """
    path = Path(folder)
    path = (path if path.is_dir() else path.parent) / FILE
    try:
        values = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(
            f"{path}, which belongs to the weights beside it, cannot be read ({reason}); download it again,"
            " or move the weights to a folder of their own"
        ) from error
    if not isinstance(values, dict) or not isinstance(values.get("architecture"), str):
        return None
    nested, own = values.get("pretrained_cfg"), values.get("chanattn")
    told = values | (nested if isinstance(nested, dict) else {})
    kinds: dict[str, Any] = {
        "num_classes": int,
        "mean": tuple,
        "std": tuple,
        "interpolation": str,
        "crop_pct": (int, float),
        "input_size": tuple,
    }
    given: dict[str, Any] = {}
    for name, kind in kinds.items():
        value = told.get(name)
        value = tuple(value) if isinstance(value, list) else value
        numbers = isinstance(value, tuple) and all(isinstance(v, int | float) for v in value)
        if value is not None and not (numbers if kind is tuple else isinstance(value, kind)):
            raise UsageError(f"{path} is damaged: {name} is {value!r}; download it again")
        given[name] = value
    if isinstance(
        values.get("num_classes"), int
    ):  # of this classifier; the other, of the weights' origin
        given["num_classes"] = values["num_classes"]
    network = own.get("model") if isinstance(own, dict) else None
    if network is not None and not _is_network(network):
        raise UsageError(f"{path} is damaged: chanattn.model tells no network; export it again")
    architecture = values["architecture"].partition(".")[0]
    return HubConfig(path, architecture, **given, network=network)


def _is_network(model: object) -> bool:
    kinds = {"name": str, "attention": dict, "shortcut": str}
    return isinstance(model, dict) and all(isinstance(model.get(n), k) for n, k in kinds.items())


def check_architecture(
    config: HubConfig | None, model: models.Network, *, attention: bool = True
) -> None:
    """Refuse weights of another network than the model, by what the hub's config says.

    Args:
        config: Of the folder of the weights; None: nothing is known, and nothing refused.
        model: The network that they shall go into; its classifier and head may differ.
        attention: Whether the gate mechanism must be the same too; False where one may be added to, or
            replaced in, a pretrained network.

    Raises:
        UsageError: They are of another architecture, or of one that is not known here.
    """
    if config is None:
        return
    name = config.architecture
    if name.startswith(_OWN) and config.network is not None:
        theirs = models.create(
            config.network["name"],
            attention=config.network["attention"],
            shortcut=config.network["shortcut"],
        )
        name = name.removeprefix(_OWN)
    elif name in NETWORKS:
        theirs = models.create(name)
    else:
        raise UsageError(
            f"{config.path} names the network of the weights: {unknown(name)}"
            " (where it is wrong, move the weights to a folder of their own)"
        )
    if not same_network(theirs, model, attention=attention):
        raise UsageError(
            f"{config.path} says that the weights are of {name!r}, which is another network than this one,"
            f" even where the arrays fit; use the architecture {name!r}, or, where it is wrong, move the"
            " weights to a folder of their own"
        )


def different_preparation(config: HubConfig | None, **ours: Any) -> list[str]:
    """How pictures are prepared otherwise than the weights were trained for, a line for each difference.

    Args:
        config: Of the folder of the weights.
        **ours: Fields of `HubConfig` with what is done here: `mean`, `std`, `interpolation`, ...
    """
    known = {field.name for field in fields(HubConfig)}
    assert ours.keys() <= known, ours.keys() - known
    if config is None:
        return []
    return [
        f"{config.path} has {name} {_shown(theirs)}, the config {_shown(value)}"
        for name, value in ours.items()
        if (theirs := getattr(config, name)) is not None and not _alike(theirs, value)
    ]


def _alike(one: Any, other: Any) -> bool:
    """Whether they agree to three digits after the point, where numbers are published with as many."""
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(_alike, one, other))
    if isinstance(one, str):
        return one == str(other)
    return abs(float(one) - float(other)) < 2e-3


def _shown(value: Any) -> str:
    return str(tuple(value)) if isinstance(value, list | tuple) else str(value)
