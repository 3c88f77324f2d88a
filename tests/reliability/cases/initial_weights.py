"""`model.init`: files, folders and runs that a training cannot begin with."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from tests.reliability.case import Case
from tests.reliability.cases.runs import flipped, without_checkpoints
from tests.reliability.cases.sweeps import grid
from tests.reliability.cases.weights import PICKLE, REASON, net, truncated
from tests.reliability.making import both, data, run, tiny

TRAIN = "train.py --config=tiny.py:simam --config.model.shortcut=projection --workdir=NEW"
FILE = f"{TRAIN} --config.model.init=net.safetensors"
OF_RUN = "train.py --config=tiny.py --workdir=NEW --config.model.init=RUN"


def changed(change: Callable[[dict[str, np.ndarray]], object]) -> Callable[[Path], None]:
    """The file with other arrays."""

    def make(folder: Path) -> None:
        net(folder)
        state = load_file(folder / "net.safetensors")
        change(state)
        save_file(state, folder / "net.safetensors")

    return make


def of_hub(content: str) -> Callable[[Path], None]:
    """A folder W with the file and a config.json beside it."""

    def make(folder: Path) -> None:
        net(folder)
        (folder / "W").mkdir()
        (folder / "net.safetensors").rename(folder / "W" / "model.safetensors")
        (folder / "W" / "config.json").write_text(content)

    return make


def _empty(folder: Path) -> None:
    tiny(folder)
    (folder / "W").mkdir()


def _unsaved(folder: Path) -> None:
    without_checkpoints(folder)
    (folder / "RUN" / "checkpoints").mkdir()


def array(name: str, *shape: int) -> Callable[[Path], None]:
    """The file with an array of another shape."""
    return changed(lambda state: state.update({name: np.ones(shape, np.float32)}))


CASES = (
    Case("absent", FILE, tiny),
    Case("an empty folder", f"{TRAIN} --config.model.init=W", _empty),
    Case(
        "a folder with a pickle alone",
        f"{TRAIN} --config.model.init=W",
        both(tiny, data("W/pytorch_model.bin", PICKLE)),
    ),
    Case("a pickle", f"{TRAIN} --config.model.init=net.pth", both(tiny, data("net.pth", PICKLE))),
    Case("truncated", FILE, truncated, varies=REASON),
    Case("of another architecture", f"{FILE} --config.model.name=resnet14", net),
    Case(
        "of another architecture, as config.json beside it says",
        f"{TRAIN} --config.model.init=W",
        of_hub(json.dumps({"architecture": "resnet18", "num_classes": 10})),
    ),
    Case(
        "of an architecture that is unknown here, as config.json says",
        f"{TRAIN} --config.model.init=W",
        of_hub(json.dumps({"architecture": "convnext_tiny", "num_classes": 10})),
    ),
    Case("beside a damaged config.json", f"{TRAIN} --config.model.init=W", of_hub("{")),
    Case(
        "without some arrays",
        FILE,
        changed(lambda state: [state.pop(name) for name in [*state] if "layer3.0.bn" in name]),
    ),
    Case(
        "with arrays too many",
        FILE,
        changed(lambda state: state.update({f"x.{i}": np.ones(3, np.float32) for i in range(4)})),
    ),
    Case("with another shape", FILE, array("layer2.0.conv2.0.weight", 32, 16, 3, 3)),
    Case("for grey pictures", FILE, array("conv1.weight", 16, 1, 3, 3)),
    Case("with another stem", FILE, array("conv1.weight", 16, 3, 7, 7)),
    Case(
        "with numbers that are not finite",
        FILE,
        changed(lambda state: state["bn1.bias"].fill(np.nan)),
    ),
    Case(
        "of which nothing fits",
        f"{FILE} --config.model.init_strict=False",
        changed(lambda state: (state.clear(), state.update(w=np.ones(3, np.float32)))),
    ),
    Case("a step of a file", f"{TRAIN} --config.model.init=net.safetensors@3", net),
    Case("a run that never saved", OF_RUN, _unsaved),
    Case("a run without checkpoints", OF_RUN, without_checkpoints),
    Case("a step that a run has not", f"{OF_RUN}@7", run),
    Case("averages that a run has not", f"{OF_RUN}@newest,ema", run),
    Case("a word that is none behind a run", f"{OF_RUN}@bset", run),
    Case("a run of another architecture", f"{OF_RUN} --config.model.name=resnet14", run),
    Case("a run with another attention", f"{OF_RUN} --config.model.attention.name=eca", run),
    Case(
        "a damaged run",
        OF_RUN,
        flipped,
        varies=r"(?<=weights/).*(?= differ)",
    ),
    Case(
        "absent, in a sweep",
        "python -m chanattn.sweep --config=tiny.py --workdir=S --config.model.init=net.safetensors",
        grid(),
    ),
)
