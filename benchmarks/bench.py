"""The bench: both sides built for a row, timed in turns, and written down."""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Self

import jax

from benchmarks import comparison, flax_peer, ours, output, pairing
from benchmarks.comparison import Entry
from benchmarks.interference import Watch
from benchmarks.rows import Row
from benchmarks.sides import Side
from benchmarks.torch_client import PeerFailed, TorchProcess
from chanattn.analysis.hardware import hardware, usable_cores
from chanattn.training.mesh import setup

__all__ = ["FAILURES", "Bench", "Settings"]

FAILURES = (PeerFailed, jax.errors.JaxRuntimeError)
"""What ends the measurement of a row but not of those after it, such as memory that does not suffice."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What all rows share.

    Attributes:
        against: timm, flax, or None for our side alone.
        torch_python: interpreter of timm; it must be there if that is the peer.
        torch_compile: auto, never or always.
        rounds: how often the sides take turns.
        seconds: about how long a turn takes.
        kernels: ours, of the CPU.
        devices: ours, of the CPU; 0: as the training loop decides.
        device: cpu or gpu.
        environment: variables of the peer's process.
    """

    against: str | None
    torch_python: str | None
    torch_compile: str
    rounds: int
    seconds: float
    kernels: str
    devices: int
    device: str
    environment: Mapping[str, str]


class Bench:
    """Measures row after row; a context manager that ends the peer's process."""

    def __init__(self, settings: Settings) -> None:
        """Starts the peer, if it is a process.

        Raises:
            UsageError: the peer cannot start.
        """
        self._settings = settings
        self._threads = usable_cores()
        self._stack = ExitStack()
        self._torch: TorchProcess | None = None
        self._entries: list[Entry] = []
        self._failed: list[dict[str, str]] = []
        self._versions = self._process().versions if settings.against == "timm" else {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def check(self, rows: Sequence[Row]) -> None:
        """Refuses what cannot be measured, before anything is.

        Raises:
            UsageError: a batch does not divide over our devices, or a row has no peer of this kind.
        """
        for row in rows:
            setup(ours.config_of(row, self._settings.devices, self._settings.kernels))
            if self._settings.against == "flax":
                flax_peer.check(row)

    def measure(self, row: Row, mode: str, tick: Callable[[str], None]) -> Entry:
        """One row in one mode; the result is also kept for `report`.

        Args:
            row: what to run.
            mode: train or infer.
            tick: called with what comes next, `3 + rounds` times.

        Raises:
            PeerFailed, JaxRuntimeError: a side could not (`FAILURES`); that is kept too.
        """
        try:
            entry = self._measure(row, mode, tick)
        except FAILURES as error:
            self._failed.append({"row": row.name, "mode": mode, "error": first_line(error)})
            raise
        self._entries.append(entry)
        return entry

    def _measure(self, row: Row, mode: str, tick: Callable[[str], None]) -> Entry:
        settings = self._settings
        tick("our side")
        sides: list[Side] = [
            ours.build(row, mode, devices=settings.devices, kernels=settings.kernels)
        ]
        tick("the peer")
        sides += self._peer(row, mode)
        watch = Watch([os.getpid()] + ([self._torch.pid] if self._torch else []))
        timing = pairing.measure(
            sides, batch=row.batch, rounds=settings.rounds, seconds=settings.seconds, tick=tick
        )
        shared = {
            "kernels": settings.kernels,
            "threads": self._threads,
            "others_share": watch.share(),
        }
        return comparison.entry(row, mode, sides, timing, peer=settings.against, settings=shared)

    def report(self) -> dict[str, Any]:
        """Everything measured so far, with the hardware and how it was made: what `--json` holds."""
        how = output.how("throughput")
        how["versions"] |= self._versions
        return {
            "benchmark": "throughput",
            "hardware": hardware(),
            "how": how,
            "rows": comparison.with_overheads(self._entries),
            "failed": self._failed,
        }

    def _peer(self, row: Row, mode: str) -> list[Side]:
        settings = self._settings
        if settings.against == "flax":
            return [flax_peer.build(row, mode)]
        if settings.against == "timm":
            compile, seconds = settings.torch_compile, settings.seconds / 2
            return [self._process().build(row, mode, compile=compile, seconds=seconds)]
        return []

    def _process(self) -> TorchProcess:
        """The PyTorch process; a new one if the last has died."""
        assert self._settings.torch_python is not None
        if self._torch is None or not self._torch.is_alive:
            process = TorchProcess(
                self._settings.torch_python,
                threads=self._threads,
                device=self._settings.device,
                environment=self._settings.environment,
            )
            self._torch = self._stack.enter_context(process)
        return self._torch


def first_line(error: Exception) -> str:
    """What is written of an error."""
    return str(error).partition("\n")[0]
