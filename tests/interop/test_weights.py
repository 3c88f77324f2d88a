"""Weights from files: safetensors are read, pickles refused unless asked for, and never run."""

import pickle
import sys
import types
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import parity
import pytest
from safetensors.numpy import save_file

from chanattn import models
from chanattn.errors import UsageError
from chanattn.interop import from_torch, read_weights


@pytest.fixture(scope="module")
def state(golden: Path) -> dict[str, np.ndarray]:
    """A CIFAR ResNet-8 with SimAM, by the names of PyTorch code."""
    return dict(parity.state_dict(parity.load(golden / "nets" / "cifar_resnet8_simam.npz")))


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_safetensors_give_the_network_that_the_arrays_give(
    state: dict[str, np.ndarray], tmp_path: Path
) -> None:
    save_file(state, tmp_path / "net.safetensors")
    read = read_weights(tmp_path / "net.safetensors")
    assert read.keys() == state.keys()
    options = {"num_classes": 10, "shortcut": "projection", "attention": {"name": "simam"}}
    model = models.create("resnet8", **options)
    ours, theirs = from_torch(model, read), from_torch(model, state)
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    assert all(map(jnp.array_equal, jax.tree.leaves(ours), jax.tree.leaves(theirs)))


@pytest.mark.parametrize("name", ["net.pth", "net.pt", "net.bin", "net.pkl", "net.safetensors"])
def test_a_pickle_is_told_by_name_and_by_content_and_not_run(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(pickle.dumps({"w": Bomb(tmp_path / "ran")}))
    with pytest.raises(UsageError, match=r"is a pickle.*convert it.*--allow_pickle") as caught:
        read_weights(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_a_pickle_under_another_name_of_pickles_needs_no_magic_bytes(tmp_path: Path) -> None:
    (tmp_path / "old.pth").write_bytes(pickle.dumps({}, protocol=0))
    with pytest.raises(UsageError, match="is a pickle"):
        read_weights(tmp_path / "old.pth")


def test_a_pickle_needs_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "net.pth").write_bytes(pickle.dumps({"w": Bomb(tmp_path / "ran")}))
    with pytest.raises(UsageError, match=r"needs PyTorch, which is not installed: pip install"):
        read_weights(tmp_path / "net.pth", allow_pickle=True)
    assert not (tmp_path / "ran").exists()


class FakeTensor:
    """As much of `torch.Tensor` as is used."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def detach(self) -> "FakeTensor":
        return self

    def is_floating_point(self) -> bool:
        return True

    def float(self) -> np.ndarray:
        return self.array.astype(np.float32)


def fake_torch(loads: Any) -> Any:
    """A PyTorch whose `load` gives `loads`, or raises it, and notes how it was called."""
    torch: Any = types.ModuleType("torch")
    torch.Tensor, torch.calls = FakeTensor, []

    def load(path: Path, **options: Any) -> Any:
        torch.calls.append(options)
        if isinstance(loads, Exception):
            raise loads
        return loads

    torch.load = load
    return torch


def test_torch_is_asked_for_weights_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = fake_torch({"epoch": 3, "state_dict": {"w": FakeTensor(np.ones(2, np.float16))}})
    monkeypatch.setitem(sys.modules, "torch", torch)
    (tmp_path / "net.pth").write_bytes(b"PK\x03\x04")
    read = read_weights(tmp_path / "net.pth", allow_pickle=True)
    assert torch.calls == [{"map_location": "cpu", "weights_only": True}]
    assert read["w"].dtype == np.float32


@pytest.mark.parametrize(
    ("loads", "message"),
    [
        (pickle.UnpicklingError("unsupported global"), "holds more than weights, and nothing of"),
        (RuntimeError("bad archive\n  line 2"), r"cannot be read as PyTorch weights \(bad archive"),
        ([1, 2], "holds no state dict but a list"),
        ({"w": "text"}, "'w' is a str"),
    ],
)
def test_what_is_no_state_dict_is_refused(
    loads: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", fake_torch(loads))
    (tmp_path / "net.pth").write_bytes(b"\x80\x02}.")
    with pytest.raises(UsageError, match=message) as caught:
        read_weights(tmp_path / "net.pth", allow_pickle=True)
    assert "\n" not in str(caught.value)


def test_a_real_torch_refuses_a_bomb(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    torch.save({"w": Bomb(tmp_path / "ran")}, tmp_path / "bomb.pth")
    with pytest.raises(UsageError, match="nothing of it was run"):
        read_weights(tmp_path / "bomb.pth", allow_pickle=True)
    assert not (tmp_path / "ran").exists()
    torch.save({"state_dict": {"w": torch.ones(3, dtype=torch.bfloat16)}}, tmp_path / "net.pth")
    assert read_weights(tmp_path / "net.pth", allow_pickle=True)["w"].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no readable safetensors file"),
        (b"\x08", "is no readable safetensors file"),
        (b"\xff" * 64, "is no readable safetensors file"),
        (b"\x02\0\0\0\0\0\0\0{]", "is no readable safetensors file"),
    ],
)
def test_damaged_files_are_named(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "net.safetensors").write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        read_weights(tmp_path / "net.safetensors")
    assert "\n" not in str(caught.value)


def test_a_truncated_file_is_named(state: dict[str, np.ndarray], tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_file(state, path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UsageError, match="is no readable safetensors file"):
        read_weights(path)


def test_an_absent_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no weights in .*: No such file"):
        read_weights(tmp_path / "absent.safetensors")
    with pytest.raises(UsageError, match="no weights in .*: Is a directory"):
        read_weights(tmp_path)


def test_bfloat16_is_read_as_float32(tmp_path: Path) -> None:
    header = b'{"w":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'
    values = np.asarray([1.5, -2.0], jnp.bfloat16).tobytes()
    path = tmp_path / "net.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + values)
    array = read_weights(path)["w"]
    assert array.dtype == np.float32
    assert array.tolist() == [1.5, -2.0]


def header(kind: str, bytes_of_two: int) -> bytes:
    """Of a file with the array `w` of two numbers."""
    entry = f'{{"w":{{"dtype":"{kind}","shape":[2],"data_offsets":[0,{bytes_of_two}]}}}}'
    return entry.encode()


def test_every_length_of_the_header_is_read_whatever_else_begins_with_that_byte(
    tmp_path: Path,
) -> None:
    """0x80 begins a pickle, "P" a zip file; the header may be padded with spaces to any length."""
    values = np.asarray([1.5, -2.0], np.float32).tobytes()
    path = tmp_path / "net.pth"
    for length in range(256, 512):
        text = header("F32", 8).ljust(length)
        path.write_bytes(length.to_bytes(8, "little") + text + values)
        assert read_weights(path)["w"].tolist() == [1.5, -2.0], hex(length)


@pytest.mark.parametrize("low", [0x80, 0x50])
def test_a_damaged_file_of_such_a_length_is_not_called_a_pickle(low: int, tmp_path: Path) -> None:
    length = 0x100 + low
    path = tmp_path / "net.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + header("F32", 8).ljust(length)[:-90])
    with pytest.raises(UsageError, match="is no readable safetensors file"):
        read_weights(path)


@pytest.mark.parametrize(
    ("kind", "size"), [("F8_E4M3", 2), ("F8_E5M2", 2), ("F8_E8M0", 2), ("F4", 1), ("C64", 16)]
)
def test_types_that_are_not_read_are_named(kind: str, size: int, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    text = header(kind, size)
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(size))
    with pytest.raises(
        UsageError, match=f"holds 'w' in the type {kind}, which is not read"
    ) as caught:
        read_weights(path)
    assert "\n" not in str(caught.value)


class Sparse(FakeTensor):
    """A tensor that NumPy cannot look into."""

    def float(self) -> np.ndarray:
        raise TypeError("can't convert Sparse tensor to numpy")


def test_tensors_that_are_no_arrays_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", fake_torch({"w": Sparse(np.ones(2))}))
    (tmp_path / "net.pth").write_bytes(b"PK\x03\x04")
    with pytest.raises(UsageError, match="holds 'w' in a form that is not read.*Sparse"):
        read_weights(tmp_path / "net.pth", allow_pickle=True)


def test_mistakes_are_listed_together(state: dict[str, np.ndarray]) -> None:
    model = models.create(
        "resnet8", num_classes=7, shortcut="projection", attention={"name": "simam"}
    )
    short = {name: array for name, array in state.items() if "layer2.0.bn1" not in name}
    with pytest.raises(UsageError) as caught:
        from_torch(model, short)
    message = str(caught.value)
    assert "lacks 4 arrays, e.g. for 'batch_stats/stage2_block1/bn1/mean'" in message
    assert "and 1 more" in message
    assert "'params/classifier/kernel' has shape (64, 10) in PyTorch, (64, 7) here" in message
    with pytest.raises(UsageError, match=r"'conv.weight' has shape \(3,\), which fits no such"):
        from_torch("eca", {"conv.weight": np.ones(3)})
