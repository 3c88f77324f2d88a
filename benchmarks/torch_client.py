"""Our end of the pipe to the PyTorch process, see `torch_peer`."""

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from benchmarks.output import ROOT
from benchmarks.rows import Row
from chanattn.errors import UsageError


class PeerFailed(Exception):
    """The peer could not do what it was asked; the message says why."""


class TorchProcess:
    """A PyTorch process that waits for commands; a context manager that ends it.

    Attributes:
        versions: of torch, timm and their Python.
    """

    def __init__(
        self, python: str, *, threads: int, device: str, environment: Mapping[str, str]
    ) -> None:
        """Starts it.

        Args:
            python: interpreter with torch and timm.
            threads: of PyTorch.
            device: "cpu", or anything else for its GPU.
            environment: its variables. Those of this process hold what our libraries have set for themselves.

        Raises:
            UsageError: the interpreter is absent, or lacks torch or timm.
        """
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with the process)
        try:
            self._process = subprocess.Popen(
                # -s and -E: neither our PYTHONPATH nor packages of the user mix in.
                [_absolute(python), "-sE", "-m", "benchmarks.torch_peer"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                text=True,
                cwd=ROOT,
                env=environment,
            )
        except OSError as error:
            self._log.close()
            raise UsageError(f"--torch-python={python} cannot be run: {error.strerror}") from error
        try:
            self.versions = self._ask("start", threads=threads, device=device)["versions"]
        except PeerFailed as error:
            self.__exit__()
            raise UsageError(
                f"--torch-python={python} cannot be the peer: {error}; it needs torch, torchvision and"
                " timm, for instance `pip install torch torchvision timm`"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):  # of a process that has ended by itself
                if stream:
                    stream.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it can be asked again."""
        return self._process.poll() is None

    def build(self, row: Row, mode: str, *, compile: str, seconds: float) -> "TorchSide":
        """The peer's side of a row, in its fastest variant.

        Args:
            row: what to run.
            mode: train or infer.
            compile: auto, never or always: which variants may compete.
            seconds: about how long each variant is timed to choose.

        Raises:
            PeerFailed: it cannot.
        """
        arguments = {"row": row.to_json(), "mode": mode, "compile": compile, "seconds": seconds}
        return TorchSide(self, self._ask("build", **arguments))

    def run(self, steps: int) -> float:
        """Seconds that steps of the row built last take.

        Raises:
            PeerFailed: it ended.
        """
        return float(self._ask("run", steps=steps)["seconds"])

    def _ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            stdin.flush()
            line = stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise PeerFailed(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise PeerFailed(answer["error"])
        return answer

    def _last_words(self) -> str:
        code = self._process.wait()
        self._log.seek(0)
        lines = self._log.read().strip().splitlines()
        return lines[-1] if lines else f"the PyTorch process ended with code {code}"


class TorchSide:
    """The row that the process has built last.

    Attributes:
        parameters: trainable values.
        variant: eager or compiled, and the memory layout.
        images_per_s: of each variant when they were compared, by name.
        notes: what could not be compiled.
    """

    def __init__(self, process: TorchProcess, built: dict[str, Any]) -> None:
        """Keeps what the process answered to `build`."""
        self._process = process
        self.parameters: int = built["parameters"]
        self.variant: str = built["variant"]
        self.images_per_s: dict[str, float] = built["images_per_s"]
        self.notes: list[str] = built["notes"]

    def run(self, steps: int) -> float:
        """Seconds of `steps` steps, timed in the process itself."""
        return self._process.run(steps)


def _absolute(python: str) -> str:
    """A path from where the user stands; the process starts elsewhere. A bare name is left to PATH."""
    # Not resolved: a virtual environment is known by the link, not by what it points to.
    return str(Path(python).absolute()) if "/" in python else python
