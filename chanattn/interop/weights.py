"""Files of weights: safetensors hold numbers alone; a pickle is a program, read on request only.

https://huggingface.co/docs/safetensors; https://docs.python.org/3/library/pickle.html ("It is possible to
construct malicious pickle data which will execute arbitrary code during unpickling").
"""

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from chanattn.errors import UsageError
from chanattn.interop.wrappers import NESTED

PICKLES = (".pth", ".pt", ".bin", ".pkl", ".pickle", ".ckpt", ".tar")
_ZIP, _PICKLE = (
    b"PK\x03\x04",
    b"\x80",
)  # PyTorch since 1.6 and before; any pickle of protocol 2 or later
_LENGTH = 8  # bytes at the start of a safetensors file: the length of its JSON header
_LONGEST = 100_000_000  # header that the format allows
_TYPES = (
    *("F64", "F32", "F16", "BF16", "BOOL"),
    *(f"{kind}{bits}" for kind in "IU" for bits in (8, 16, 32, 64)),
)


def read_weights(path: str | os.PathLike[str], allow_pickle: bool = False) -> dict[str, np.ndarray]:
    """A PyTorch state dict as arrays, for `from_torch`.

    Args:
        path: A `.safetensors` file.
        allow_pickle: Read a pickle (`.pth`, `.pt`, `.bin`, ...) too, through `torch.load(weights_only=True)`,
            which builds tensors and refuses all else.

    Returns:
        Names to arrays; those in bfloat16, which NumPy lacks, as float32.

    Raises:
        UsageError: The file is absent, damaged, a pickle that was not asked for, or holds other things than
            arrays of real numbers, or some of fewer than 16 bits; or what reads it (safetensors, PyTorch) is
            not installed.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(_LENGTH + 1)
    except OSError as error:
        raise UsageError(f"no weights in {path}: {error.strerror}") from error
    if _begins_safetensors(start):
        return _safetensors(path)
    if path.suffix.lower() in PICKLES or start.startswith((_ZIP, _PICKLE)):
        if not allow_pickle:
            raise UsageError(
                f"{path} is a pickle, which can run any code when it is read; convert it where PyTorch is:"
                ' python -c "import torch, safetensors.torch as s;'
                f" s.save_file(torch.load('{path.name}', weights_only=True), 'weights.safetensors')\","
                " or, to have eval.py or predict.py read it, trust it with --allow_pickle (allow_pickle=True)"
            )
        return _unpickled(path)
    return _safetensors(path)


def _begins_safetensors(start: bytes) -> bool:
    """Whether these are the length of a header and its first byte, whatever other format has the first byte.

    In a zip file or a pickle the eight bytes are no length that the format allows.
    """
    return start[_LENGTH:] == b"{" and int.from_bytes(start[:_LENGTH], "little") <= _LONGEST


def _safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        from safetensors import SafetensorError, safe_open  # the library does without
    except ModuleNotFoundError as error:
        raise UsageError(
            f"reading {path} needs safetensors, which is not installed: pip install safetensors"
        ) from error
    try:
        with safe_open(path, framework="np") as file:
            types = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
            readable = [name for name, kind in types.items() if kind in _TYPES]
            arrays = {name: _array(file.get_tensor(name)) for name in readable}
    except (SafetensorError, OSError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise UsageError(
            f"{path} is no readable safetensors file ({reason}); download or convert it again"
        ) from error
    for name, kind in types.items():
        if name not in arrays:
            raise UsageError(
                f"{path} holds {name!r} in the type {kind}, which is not read; save it as float32"
            )
    return arrays


def _unpickled(path: Path) -> dict[str, np.ndarray]:
    try:
        import torch
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{path} is a pickle, and reading it needs PyTorch, which is not installed: pip install torch,"
            " or convert the file to safetensors where it is"
        ) from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UsageError(
            f"{path} holds more than weights, and nothing of it was run; save its state_dict() alone,"
            " best as safetensors"
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:120]
        raise UsageError(
            f"{path} cannot be read as PyTorch weights ({reason}); download it again"
        ) from error
    for wrapper in NESTED:
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    return {name: _tensor(path, name, value) for name, value in _items(path, state)}


def _items(path: Path, state: object) -> list[tuple[str, Any]]:
    if not isinstance(state, Mapping) or not state:
        raise UsageError(f"{path} holds no state dict but a {type(state).__name__}")
    return list(state.items())


def _tensor(path: Path, name: str, value: Any) -> np.ndarray:
    import torch

    if not isinstance(value, torch.Tensor):
        raise UsageError(
            f"{path} holds something else than arrays: {name!r} is a {type(value).__name__};"
            " save the state_dict() alone"
        )
    value = value.detach()
    try:
        array = np.asarray(value.float() if value.is_floating_point() else value)
    except (TypeError, RuntimeError) as error:
        raise _not_read(path, name, " ".join(str(error).split())[:120]) from error
    if array.dtype.kind not in "biuf":
        raise _not_read(path, name, str(array.dtype))
    return array


def _not_read(path: Path, name: str, reason: str) -> UsageError:
    return UsageError(
        f"{path} holds {name!r} in a form that is not read ({reason}); save it as a plain float32 tensor"
    )


def _array(value: np.ndarray) -> np.ndarray:
    """The array itself, or in float32 where its type is none of numpy's own."""
    return value if value.dtype.kind in "biuf" else value.astype(np.float32)
