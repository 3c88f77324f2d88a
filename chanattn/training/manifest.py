"""The manifest of a checkpoint: what it holds, with a checksum of every array, so that damage is seen.

    {"leaves": {"weights/params/stem/conv/kernel": {"array": "float32[3, 3, 3, 16]", "crc32": 123}, ...},
     "progress": CRC-32 of the checkpoint's JSON, "manifest": CRC-32 of all the above}

Orbax restores an array in which a bit has flipped without complaint.
"""

import json
import zlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from chanattn.errors import UsageError, some

PyTree = Any
Manifest = dict[str, Any]


def make(parts: Mapping[str, PyTree], progress: object) -> Manifest:
    """The manifest of trees of arrays by name, and of a JSON value."""
    arrays, sums = layout(parts), checksums(parts)
    body = {
        "leaves": {path: {"array": arrays[path], "crc32": sums[path]} for path in arrays},
        "progress": of_json(progress),
    }
    return body | {"manifest": of_json(body)}


def layout(parts: Mapping[str, PyTree]) -> dict[str, str]:
    """Type and shape of every array, by its path."""
    return {path: f"{leaf.dtype}{list(leaf.shape)}" for path, leaf in _leaves(parts)}


def type_and_shape(array: str) -> tuple[str, tuple[int, ...]]:
    """Those that `layout` writes as "float32[3, 3, 16]"."""
    dtype, _, dimensions = array.partition("[")
    return dtype, tuple(json.loads(f"[{dimensions}"))


def checksums(parts: Mapping[str, PyTree]) -> dict[str, int]:
    """CRC-32 of every array's bytes, by its path."""
    paths, leaves = zip(*_leaves(parts), strict=True)
    return {
        path: zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        for path, array in zip(paths, jax.device_get(leaves), strict=True)
    }


def of_json(value: object) -> int:
    """CRC-32 of a JSON value, the same before and after it was written and read."""
    return zlib.crc32(json.dumps(value, sort_keys=True).encode())


def is_sound(manifest: object) -> bool:
    """Whether a manifest that was read is the one that was written."""
    if not isinstance(manifest, dict) or set(manifest) != {"leaves", "progress", "manifest"}:
        return False
    body = {name: value for name, value in manifest.items() if name != "manifest"}
    return of_json(body) == manifest["manifest"]


def is_of_step(manifest: Manifest, step: int) -> bool:
    """Whether the state was saved at a step, as far as the manifest tells."""
    leaf = manifest["leaves"].get("training/step")
    return leaf is None or leaf["crc32"] == zlib.crc32(np.int32(step).tobytes())


def differing(manifest: Manifest, parts: Mapping[str, PyTree]) -> list[str]:
    """Paths of the restored arrays whose bytes are not those that were saved."""
    leaves = manifest["leaves"]
    return [path for path, value in checksums(parts).items() if value != leaves[path]["crc32"]]


def check_fit(where: object, manifest: Manifest, parts: Mapping[str, PyTree]) -> None:
    """Refuses a checkpoint of another network or optimizer.

    Args:
        where: the checkpoint, for the message.
        manifest: of the checkpoint.
        parts: trees with the shapes and types wanted; parts of the checkpoint that are not among them are
            left alone.

    Raises:
        UsageError: arrays are absent on one side, or differ in shape or type; it names some.
    """
    wanted = layout(parts)
    saved = {
        path: leaf["array"]
        for path, leaf in manifest["leaves"].items()
        if path.split("/", 1)[0] in parts
    }
    different = [path for path in sorted(saved | wanted) if saved.get(path) != wanted.get(path)]
    if different:
        listed = some(
            f"{path} is {saved.get(path, 'absent')} there and {wanted.get(path, 'absent')} here"
            for path in different
        )
        raise UsageError(
            f"checkpoint {where} does not fit this config: {listed}; use another workdir."
        )


def _leaves(parts: Mapping[str, PyTree]) -> list[tuple[str, Any]]:
    return [
        (f"{name}/{jax.tree_util.keystr(path, simple=True, separator='/')}", leaf)
        for name, tree in parts.items()
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    ]
