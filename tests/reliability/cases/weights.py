"""Files of weights: absent, damaged, of another network, and pickles."""

import pickle
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from tests.reliability.case import Case
from tests.reliability.making import both, data, run, text, tiny
from tests.support import parity

EVAL = "eval.py --config=tiny.py:simam --config.model.shortcut=projection --weights=net"
REASON = r"(?<=file \().*(?=\); download)"
NETS = Path(__file__).parents[2] / "golden" / "nets"


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return open, ("ran", "w")


PICKLE = pickle.dumps({"w": Bomb()})


def net(folder: Path, **changes: np.ndarray) -> None:
    """A CIFAR ResNet-8 with SimAM, and the recipe."""
    state = dict(parity.state_dict(parity.load(NETS / "cifar_resnet8_simam.npz")))
    save_file(state | changes, folder / "net.safetensors")
    tiny(folder)


def _not_finite(folder: Path) -> None:
    net(folder, **{"linear.bias": np.full(10, np.nan, np.float32)})


def _surplus(folder: Path) -> None:
    net(folder, **{f"head{i}.weight": np.ones(3, np.float32) for i in range(9)})


def _wrapped(folder: Path) -> None:
    net(folder)
    state = load_file(folder / "net.safetensors")
    save_file({f"student.{name}": w for name, w in state.items()}, folder / "net.safetensors")


def _legacy(folder: Path) -> None:
    net(folder, **{"layer0.conv1.weight": np.ones((16, 3, 3, 3), np.float32)})


_HEADER = b'{"w":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}}'
FP8 = len(_HEADER).to_bytes(8, "little") + _HEADER + bytes(2)


def truncated(folder: Path) -> None:
    """The file without its end."""
    net(folder)
    path = folder / "net.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


CASES = (
    Case("without a config", "eval.py --weights=net.safetensors", net),
    Case("beside a run", f"{EVAL}.safetensors --workdir=RUN", net),
    Case("absent", f"{EVAL}.safetensors", tiny),
    Case(
        "a folder",
        f"{EVAL}.safetensors",
        lambda folder: (tiny(folder), (folder / "net.safetensors").mkdir())[0],
    ),
    Case(
        "of 0 bytes",
        f"{EVAL}.safetensors",
        both(tiny, text("net.safetensors", "")),
        varies=REASON,
    ),
    Case("truncated", f"{EVAL}.safetensors", truncated, varies=REASON),
    Case(
        "of another format",
        f"{EVAL}.h5",
        both(tiny, data("net.h5", b"\x89HDF\r\n\x1a\n" + bytes(99))),
        varies=REASON,
    ),
    Case("a pickle", f"{EVAL}.pth", both(tiny, data("net.pth", PICKLE))),
    Case(
        "a pickle by another name",
        f"{EVAL}.safetensors",
        both(tiny, data("net.safetensors", PICKLE)),
    ),
    Case(
        "a pickle without PyTorch",
        f"{EVAL}.pth --allow_pickle",
        both(tiny, data("net.pth", PICKLE)),
        absent=("torch",),
    ),
    Case("of another architecture", f"{EVAL}.safetensors --config.model.name=resnet14", net),
    Case(
        "of another number of classes",
        f"{EVAL}.safetensors --config.dataset.synthetic_classes=7",
        net,
    ),
    Case("with names that are unknown here", f"{EVAL}.safetensors", _surplus),
    Case("with a wrapper in front of all names", f"{EVAL}.safetensors", _wrapped),
    Case("with the names of a network built otherwise", f"{EVAL}.safetensors", _legacy),
    Case("of 8 bits a number", f"{EVAL}.safetensors", both(tiny, data("net.safetensors", FP8))),
    Case("with numbers that are not finite", f"{EVAL}.safetensors", _not_finite),
    Case("with results into a file", f"{EVAL}.safetensors --output=tiny.py", net),
    Case("`--allow_pickle` for a run", "eval.py --workdir=RUN --allow_pickle", run),
)
