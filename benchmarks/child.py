"""A measurement in a fresh process: nothing that ran before is in its memory, or on its device."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from benchmarks.output import ROOT
from chanattn import cli
from chanattn.errors import UsageError


class Child:
    """A module of this folder at work, `python -m MODULE ARGUMENTS`, whose last line of output is JSON.

    A context manager that kills the process if it is left before its result.

    Args:
        module: its full name.
        arguments: of the command line.
        variables: added to the environment.
    """

    def __init__(
        self, module: str, arguments: Sequence[str], variables: Mapping[str, str] | None = None
    ) -> None:
        self._command = [sys.executable, "-m", module, *arguments]
        self._process = subprocess.Popen(
            self._command,
            cwd=ROOT,
            env=os.environ | dict(variables or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()

    def result(self, timeout: float = 900.0) -> Any:
        """Waits for the end.

        Args:
            timeout: seconds, after which the process is killed.

        Raises:
            UsageError: what it says of its flags.
            RuntimeError: it failed, was killed, or printed nothing; with the end of what it complained of.
        """
        try:
            printed, errors = self._process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            printed, errors = self._process.communicate()
        if self._process.returncode == cli.USAGE:
            raise UsageError(errors.strip().rpartition("error: ")[2])
        lines = printed.strip().splitlines()
        if self._process.returncode != 0 or not lines:
            raise RuntimeError(f"{' '.join(self._command[1:])} failed:\n{errors[-2000:]}")
        return json.loads(lines[-1])
