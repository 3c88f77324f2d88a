"""Our end of the pipe to the PyTorch process, see `torch_peer`."""

import contextlib
import dataclasses
import json
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from benchmarks.results import ROOT
from benchmarks.rows import Row, Side
from chanattn.errors import UsageError


class PeerFailed(Exception):
    """The peer could not do what it was asked; the message says why."""


class TorchProcess:
    """A PyTorch process that waits for commands; a context manager that ends it.

    Attributes:
        versions: of torch, timm and their Python.
    """

    def __init__(
        self, python: Path, *, threads: int, device: str, environment: Mapping[str, str]
    ) -> None:
        """Starts it.

        Args:
            python: interpreter with torch and timm; a bare name is looked up in PATH.
            threads: of PyTorch.
            device: "cpu", or anything else for its GPU.
            environment: its variables. Those of this process hold what our libraries have set for themselves.

        Raises:
            UsageError: the interpreter is absent, or lacks torch or timm.
        """
        self._python, self._environment = python, environment
        self._settings = {"threads": threads, "device": device}
        self._start()

    def _start(self) -> None:
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with the process)
        # Not resolved: a virtual environment is known by the link, not by what it points to.
        python = self._python
        program = python.absolute() if len(python.parts) > 1 else python  # it starts elsewhere
        try:
            self._process = subprocess.Popen(
                # -s and -E: neither our PYTHONPATH nor packages of the user mix in.
                [program, "-sE", "-m", "benchmarks.torch_peer"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                text=True,
                cwd=ROOT,
                env=self._environment,
            )
        except OSError as error:
            self._log.close()
            raise UsageError(f"--torch_python={python} cannot be run: {error.strerror}") from error
        try:
            self.versions = self._ask("start", **self._settings)["versions"]
        except PeerFailed as error:
            self.__exit__()
            raise UsageError(
                f"--torch_python={python} cannot be the peer: {error}; it needs torch, torchvision and"
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

    def build(self, row: Row, mode: str, *, compile: str, seconds: float) -> Side:
        """The peer's side of a row, in its fastest variant, in place of the one before.

        Starts the process anew if it has died.

        Args:
            row: what to run.
            mode: train or infer.
            compile: auto, never or always: which variants may compete.
            seconds: about how long each variant is timed to choose.

        Raises:
            PeerFailed: it cannot.
        """
        if self._process.poll() is not None:
            self.__exit__()
            self._start()
        arguments = {"mode": mode, "compile": compile, "seconds": seconds}
        built = self._ask("build", row=dataclasses.asdict(row), **arguments)
        return Side(run=lambda steps: float(self._ask("run", steps=steps)["seconds"]), **built)

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
