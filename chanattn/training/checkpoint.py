"""Checkpoints of a run, written by Orbax in the background.

A checkpoint has four parts, so that an evaluation reads only what it needs:

    weights    parameters and batch statistics
    ema        their moving averages, where the run has them
    training   step, optimizer state, metrics since the last log point
    progress   JSON: position in the data, results so far, the config, shapes and checksums of the others

What Orbax does not do is done here: it takes a folder without content, as a full disk or a killed process may
leave it, for the newest checkpoint; it restores a file in which a bit has flipped without complaint; and it
reports a failed write one save later.
"""

import json
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from orbax.checkpoint import checkpoint_managers

from chanattn.errors import UsageError
from chanattn.training.state import TrainState, Weights

PyTree = Any
_PROGRESS = "progress"


class Checkpoints:
    """The checkpoints in one directory; a context manager that waits for the last write when left.

    With several processes all of them make the same calls, on a directory that they share.

    Args:
        directory: made if absent, unless `read_only`.
        keep: newest checkpoints kept; older ones are deleted.
        read_only: for evaluation; nothing is written, cleaned up or deleted.
    """

    def __init__(self, directory: str | Path, keep: int = 1, *, read_only: bool = False) -> None:
        self.directory = Path(directory).absolute()
        if not read_only and jax.process_index() == 0:
            self._remove_incomplete()
        if not read_only and jax.process_count() > 1:
            multihost_utils.sync_global_devices("checkpoints: leftovers removed")
        self._manager = ocp.CheckpointManager(
            self.directory,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=checkpoint_managers.LatestN(keep),
                create=not read_only,
                cleanup_tmp_directories=not read_only,
            ),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def steps(self) -> list[int]:
        """Steps of the complete checkpoints, oldest first."""
        return sorted(int(path.name) for path in self._folders() if _is_complete(path))

    def latest(self) -> int | None:
        """Step of the newest complete checkpoint, None if there is none."""
        return max(self.steps(), default=None)

    def save(self, state: TrainState, progress: Mapping[str, Any]) -> None:
        """Saves a state under its own step; returns once the arrays are copied, and writes them meanwhile.

        Args:
            state: may be donated to the next step right after.
            progress: JSON values that belong to the state.

        Raises:
            OSError: this or the previous save could not be written.
        """
        parts = _parts(state)
        record = dict(progress) | {
            "arrays": {name: layout(tree) for name, tree in parts.items()},
            "checksums": {name: checksum(tree) for name, tree in parts.items()},
        }
        self._manager.save(
            int(state.step),
            args=ocp.args.Composite(
                **{name: ocp.args.StandardSave(tree) for name, tree in parts.items()},
                **{_PROGRESS: ocp.args.JsonSave(record)},
            ),
            force=True,
        )

    def restore(self, step: int, template: TrainState) -> TrainState:
        """The state saved at a step, on the devices that the template names, whatever it was saved from.

        Args:
            step: of a complete checkpoint.
            template: `abstract_state` of the same config.

        Raises:
            UsageError: the checkpoint is damaged, or holds another network.
        """
        parts = self._restore(step, _parts(template))
        return TrainState(**parts["weights"], **parts["training"], ema=parts.get("ema"))

    def restore_weights(self, step: int, template: Weights, *, ema: bool = False) -> Weights:
        """Only what a forward pass needs: the raw weights of a step, or their moving averages.

        Args:
            step: of a complete checkpoint.
            template: shapes, types and shardings of {"params", "batch_stats"}.
            ema: return the averages, which are float32.

        Raises:
            UsageError: the checkpoint has no averages, is damaged, or holds another network.
        """
        name = "ema" if ema else "weights"
        if name not in self.progress(step)["arrays"]:
            raise UsageError(
                f"{self.directory} holds no moving averages (ema.decay was 0); evaluate the raw weights."
            )
        return self._restore(step, {name: template})[name]

    def progress(self, step: int) -> dict[str, Any]:
        """The JSON values saved with a step."""
        args = ocp.args.Composite(**{_PROGRESS: ocp.args.JsonRestore()})
        return self._manager.restore(step, args=args)[_PROGRESS]

    def raise_errors(self) -> None:
        """Raises what went wrong in a write that has ended; never waits for one that has not."""
        if not self._manager.is_saving_in_progress():
            self._manager.wait_until_finished()

    def wait(self) -> None:
        """Returns when everything is on the disk.

        Raises:
            OSError: it could not be written.
        """
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits, and releases Orbax's threads."""
        self._manager.close()

    def _restore(self, step: int, templates: dict[str, PyTree]) -> dict[str, PyTree]:
        where, saved = self.directory / str(step), self.progress(step)
        for name, template in templates.items():
            _check_layout(where, saved["arrays"].get(name, {}), layout(template))
        args = ocp.args.Composite(
            **{name: ocp.args.StandardRestore(tree) for name, tree in templates.items()}
        )
        try:
            restored = self._manager.restore(step, args=args)
        except (ValueError, OSError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
            raise UsageError(
                f"checkpoint {where} cannot be read ({reason}); remove that folder to continue from an "
                "older one."
            ) from error
        parts = {name: restored[name] for name in templates}
        damaged = [
            name for name, tree in parts.items() if checksum(tree) != saved["checksums"][name]
        ]
        if damaged:
            raise UsageError(
                f"checkpoint {where} is damaged ({', '.join(damaged)} differ from what was saved); "
                "remove that folder to continue from an older one."
            )
        return parts

    def _folders(self) -> list[Path]:
        if not self.directory.is_dir():
            return []
        return [path for path in self.directory.iterdir() if path.name.isdigit()]

    def _remove_incomplete(self) -> None:
        for path in self._folders():
            if not _is_complete(path):
                shutil.rmtree(path)


def layout(tree: PyTree) -> dict[str, str]:
    """Type and shape of every array of a tree, by its path."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): f"{leaf.dtype}{list(leaf.shape)}"
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def checksum(tree: PyTree) -> int:
    """CRC-32 of all arrays of a tree, in its order."""
    value = 0
    for leaf in jax.tree.leaves(tree):
        value = zlib.crc32(np.ascontiguousarray(jax.device_get(leaf)).tobytes(), value)
    return value


def _check_layout(where: Path, saved: dict[str, str], wanted: dict[str, str]) -> None:
    for path in sorted(saved.keys() | wanted.keys()):
        if saved.get(path) != wanted.get(path):
            raise UsageError(
                f"checkpoint {where} does not fit this config: {path} is {saved.get(path, 'absent')} there "
                f"and {wanted.get(path, 'absent')} here; use another workdir."
            )


def _parts(state: TrainState) -> dict[str, PyTree]:
    parts: dict[str, PyTree] = {
        "weights": state.weights,
        "training": {"step": state.step, "opt_state": state.opt_state, "window": state.window},
    }
    return parts if state.ema is None else parts | {"ema": state.ema}


def _is_complete(path: Path) -> bool:
    """Whether Orbax has finished writing a checkpoint: the last thing that it writes is the time."""
    try:
        metadata = json.loads((path / "_CHECKPOINT_METADATA").read_text())
    except (OSError, json.JSONDecodeError):
        return False
    return metadata.get("commit_timestamp_nsecs") is not None and (path / _PROGRESS).is_dir()
