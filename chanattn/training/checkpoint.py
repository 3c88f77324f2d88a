"""Checkpoints of a run, written by Orbax in the background.

A checkpoint has five parts, so that an evaluation reads only what it needs:

    weights    parameters and batch statistics
    ema        their moving averages, where the run has them
    training   step, optimizer state, metrics since the last log point
    progress   JSON: position in the data, results so far, the config
    manifest   JSON: shapes and checksums of the others

and beside them the checksums of all files (`chanattn.training.file_sums`).

What Orbax does not do is done here: it takes a folder without content for the newest checkpoint; it restores
a file in which a bit has flipped without complaint; it reports a failed write one save later, and some not at
all, so that what was written is looked at again.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import jax

from chanattn.errors import DamagedCheckpoint, SaveFailed, UsageError, some
from chanattn.training import file_sums
from chanattn.training import manifest as manifests
from chanattn.training.agreement import decided
from chanattn.training.folders import complete, folders, lack, remove_half_deleted, set_aside
from chanattn.training.manifest import Manifest
from chanattn.training.plain_path import plain
from chanattn.training.retention import Retention
from chanattn.training.space import check_writable, shortage
from chanattn.training.state import REST, TrainState, Weights, parts_of, state_of

if TYPE_CHECKING:
    from chanattn.training.orbax_store import OrbaxStore

PyTree = Any
_PROGRESS, _MANIFEST = "progress", "manifest"
_JSON_BYTES = 2**20  # room for what is not an array


class Checkpoints:
    """The checkpoints in one directory; a context manager that waits for the last write when left.

    With several processes all of them make the same calls, on a directory that they share; which checkpoints
    there are, and what their JSON says, is what process 0 sees.

    Args:
        directory: made if absent, unless `read_only`.
        retention: which checkpoints stay; the others are deleted, each after a newer one has been written.
        read_only: for evaluation; nothing is written, renamed or deleted.

    Attributes:
        scores: of the steps that were evaluated, higher is better; the retention reads them at every save.

    Raises:
        UsageError: the directory cannot be written.
    """

    def __init__(
        self,
        directory: str | Path,
        retention: Retention = Retention(),  # noqa: B008 - it is frozen
        *,
        read_only: bool = False,
    ) -> None:
        self.directory = Path(directory).absolute()
        self.retention = retention
        self.scores: dict[int, float] = {}
        self._saving: int | None = None
        self._written: Manifest = {}
        self._read_only = read_only
        if not read_only:
            decided(lambda: check_writable(self.directory))
            self.directory.mkdir(parents=True, exist_ok=True)
        self._stack = ExitStack()
        self._address = self._stack.enter_context(plain(self.directory))
        if not read_only:
            decided(lambda: remove_half_deleted(self._address))

    @functools.cached_property
    def _store(self) -> "OrbaxStore":
        """Made when it is first asked for: a new run compiles before it needs Orbax."""
        from chanattn.training.orbax_store import OrbaxStore, log_hushed

        self._stack.enter_context(log_hushed())
        store = OrbaxStore(
            self._address,
            lambda steps: self.retention.kept(steps, self.scores),
            read_only=self._read_only,
        )
        self._stack.callback(store.close)
        return store

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except SaveFailed as failure:
            if error is None:
                raise
            error.add_note(str(failure))  # what ends the program already matters more

    def steps_on_disk(self) -> list[int]:
        """Steps of all that looks like a checkpoint, oldest first."""
        return decided(lambda: list(folders(self.directory)))

    def steps(self) -> list[int]:
        """Steps of the complete checkpoints, oldest first."""
        return decided(lambda: complete(self._address))

    def latest(self) -> int | None:
        """Step of the newest complete checkpoint, None if there is none."""
        return max(self.steps(), default=None)

    def save(self, state: TrainState, progress: Mapping[str, Any]) -> None:
        """Saves a state under its own step; returns once the arrays are copied, and writes them meanwhile.

        Args:
            state: may be donated to the next step right after.
            progress: JSON values that belong to the state.

        Raises:
            SaveFailed: this or the previous save could not be written, or the disk has no room for it.
        """
        self.wait()
        store, step, parts = self._store, int(state.step), parts_of(state)
        self._written = manifests.make(parts, progress)
        arrays = sum(leaf.nbytes for leaf in jax.tree.leaves(parts))
        with self._reported(step):
            too_little = shortage(self.directory, arrays + _JSON_BYTES)
            if too_little:
                raise OSError(too_little)
            store.save(step, parts, {_PROGRESS: dict(progress), _MANIFEST: self._written})
        self._saving = step

    def sees(self, step: int) -> bool:
        """Whether this process, of several, has a complete checkpoint before it."""
        return step in complete(self._address)

    def restore(self, step: int, template: TrainState) -> TrainState:
        """The state saved at a step, on the devices that the template names, whatever it was saved from.

        Args:
            step: of a complete checkpoint.
            template: `abstract_state` of the same config.

        Raises:
            DamagedCheckpoint: the checkpoint is not what was saved.
            UsageError: it holds another network.
        """
        rest = any(path.startswith(REST) for path in self.manifest(step)["leaves"])
        return state_of(self._restore(step, parts_of(template, rest=rest)))

    def restore_weights(self, step: int, template: Weights, *, ema: bool = False) -> Weights:
        """Only what a forward pass needs: the raw weights of a step, or their moving averages.

        Args:
            step: of a complete checkpoint.
            template: shapes, types and shardings of {"params", "batch_stats"}.
            ema: return the averages, which are float32.

        Raises:
            DamagedCheckpoint: the checkpoint is not what was saved.
            UsageError: it has no averages, or holds another network.
        """
        name = "ema" if ema else "weights"
        if not any(path.startswith(f"{name}/") for path in self.manifest(step)["leaves"]):
            raise UsageError(
                f"{self.directory} holds no moving averages (ema.decay was 0); evaluate the raw weights."
            )
        return self._restore(step, {name: template})[name]

    def progress(self, step: int) -> dict[str, Any]:
        """The JSON values saved with a step.

        Raises:
            DamagedCheckpoint: they are not what was saved.
        """
        expected = self.manifest(step)["progress"]

        def read() -> dict[str, Any]:
            values: dict[str, Any] = self._read_json(step, _PROGRESS)
            if manifests.of_json(values) != expected:
                raise self.damaged(step, "progress differs from what was saved")
            return values

        return decided(read)

    def manifest(self, step: int) -> Manifest:
        """What a checkpoint holds, see `chanattn.training.manifest`.

        Raises:
            DamagedCheckpoint: it is absent or not what was saved.
        """
        return decided(lambda: self._read_manifest(step))

    def damaged(self, step: int, reason: str) -> DamagedCheckpoint:
        """The error that says what is wrong with a checkpoint."""
        return DamagedCheckpoint(self.directory / str(step), step, reason)

    def set_aside(self, steps: Sequence[int]) -> None:
        """Puts damaged checkpoints out of the way, by renaming them `damaged-STEP`."""
        if not steps:
            return
        decided(lambda: [str(set_aside(self.directory / str(step))) for step in steps])
        self._store.reload()

    def delete_after(self, step: int) -> None:
        """Deletes the checkpoints behind a step, which is as it was saved: the run takes another way."""
        self.wait()
        for later in [scored for scored in self.scores if scored > step]:
            del self.scores[later]
        for later in self.steps():
            if later > step:
                self._store.delete(later)

    def raise_errors(self) -> None:
        """Looks at what a write that has ended has left; never waits for one that has not.

        Raises:
            SaveFailed: it could not be written.
        """
        if self._saving is not None and not self._store.is_saving():
            self.wait()

    def wait(self) -> None:
        """Returns when everything is on the disk, and looks whether it is.

        Raises:
            SaveFailed: it could not be written, or is not there under the name that a restore will look for.
        """
        if self._saving is not None:
            step, self._saving = self._saving, None
            with self._reported(step):
                self._store.wait()
                if jax.process_index() == 0:
                    self._look_at(step)

    def close(self) -> None:
        """Waits, and releases Orbax's threads.

        Raises:
            SaveFailed: the last checkpoint could not be written.
        """
        try:
            self.wait()
        finally:
            self._stack.close()

    def _look_at(self, step: int) -> None:
        """Reads what was just written, but for the bytes of the arrays: their names, types and shapes."""
        try:
            found = self._read_manifest(step)
        except DamagedCheckpoint as error:
            raise OSError(f"it was written, but {error.reason}") from error
        if found != self._written:
            raise OSError("it was written, but another one is there now")
        names = {path.partition("/")[0] for path in found["leaves"]}
        if manifests.layout(self._store.array_metadata(step, names)) != {
            path: leaf["array"] for path, leaf in found["leaves"].items()
        }:
            raise OSError("it was written, but not all of its arrays are there")
        file_sums.write(self._address / str(step))

    @contextmanager
    def _reported(self, step: int) -> Iterator[None]:
        """One line for what goes wrong in a save: Orbax and its file layer raise errors of many kinds."""
        try:
            yield
        except Exception as error:
            self._store.let_writes_end()
            others = [other for other in complete(self._address) if other != step]
            good, reason = max(others, default=None), self._first_line(error)
            kept = (
                "nothing was saved before" if good is None else f"step {good} is the last one there"
            )
            raise SaveFailed(
                f"the checkpoint of step {step} could not be written to {self.directory} ({reason}); {kept}. "
                "Mend that, and the same command continues from it."
            ) from error

    def _restore(self, step: int, templates: dict[str, PyTree]) -> dict[str, PyTree]:
        saved = self.manifest(step)
        manifests.check_fit(self.directory / str(step), saved, templates)
        parts = self._read(step, templates)
        if manifests.layout(parts) != manifests.layout(templates):
            raise self.damaged(step, "arrays have other shapes than were saved")
        different = manifests.differing(saved, parts)
        if different:
            raise self.damaged(step, f"{some(different)} differ from what was saved")
        return parts

    def _read_manifest(self, step: int) -> Manifest:
        folder = self.directory / str(step)
        if not self.sees(step):
            raise self.damaged(step, lack(folder))
        if not (folder / _MANIFEST).exists():  # written before there were manifests
            raise self.damaged(step, "it has no manifest, so what it holds cannot be verified")
        found = self._read_json(step, _MANIFEST)
        if not manifests.is_sound(found):
            raise self.damaged(step, "the manifest differs from what was saved")
        if not manifests.is_of_step(found, step):
            raise self.damaged(
                step, "it was saved at another step; its folder was renamed or copied"
            )
        return found

    def _read_json(self, step: int, name: str) -> Any:
        """A JSON part, read by one process alone."""
        from chanattn.training.orbax_store import read_json

        try:
            return read_json(self._address, step, name)
        except (OSError, ValueError, RecursionError) as error:
            raise self.damaged(step, f"cannot be read: {self._first_line(error)}") from None

    def _read(self, step: int, templates: dict[str, PyTree]) -> dict[str, PyTree]:
        """Parts of a checkpoint; a damaged file makes Orbax raise errors of any kind."""
        folder = self._address / str(step)
        damage = decided(lambda: file_sums.damage(folder, templates))
        if damage:
            raise self.damaged(step, damage)
        try:
            read = self._store.restore(step, templates)
        except (MemoryError, jax.errors.JaxRuntimeError):  # says nothing about the files
            raise
        except Exception as error:
            raise self.damaged(step, f"cannot be read: {self._first_line(error)}") from None
        absent = [name for name, tree in read.items() if tree is None]
        if absent:
            raise self.damaged(step, f"{', '.join(absent)} is absent")
        return read

    def _first_line(self, error: BaseException) -> str:
        """An error's first line without the directory, cut: those of the file layer run over pages."""
        text = str(error).strip() or type(error).__name__
        for directory in (self.directory, self._address):
            text = text.replace(f"{directory}/", "")
        return text.splitlines()[0][:160]
