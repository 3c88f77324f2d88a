"""The peer `timm`, a process of another interpreter: reads commands on stdin, answers on stdout, JSON lines.

    {"do": "start", "threads": 2, "device": "cpu"}   -> {"versions": {...}}
    {"do": "build", "row": {...}, "mode": "train", "compile": "auto", "seconds": 1.0}
        -> {"parameters": 1, "variant": "...", "images_per_s": {"<variant>": 1.0}, "notes": ["..."]}
    {"do": "run", "steps": 3}                        -> {"seconds": 0.5}

An answer {"error": "..."} means that the command failed. Between commands the process waits, and takes no
processor time. Imports torch, timm and what comes with Python; never what needs JAX.
"""

import contextlib
import gc
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks import torch_tasks
from benchmarks.torch_networks import declare_torchvision_operators, network

LEARNING_RATE = 0.01
MOMENTUM = 0.9
WEIGHT_DECAY = 1e-4
_TURNS = 2  # of every variant, before the fastest is chosen

Step = Callable[[], Any]


class Peer:
    """The row at hand, and how it is run fastest."""

    def __init__(self) -> None:
        """Starts without a row."""
        self._device = torch.device("cpu")
        self._step: Step = lambda: None

    def start(self, threads: int, device: str) -> dict[str, Any]:
        """Selects the device and loads timm."""
        torch.set_num_threads(threads)
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
        if device != "cpu" and not torch.cuda.is_available():
            raise RuntimeError("PyTorch sees no GPU, but JAX does")
        self._device = torch.device("cpu" if device == "cpu" else "cuda")
        declare_torchvision_operators()
        import timm

        versions = {
            "torch": torch.__version__,
            "timm": timm.__version__,
            "torch's python": platform.python_version(),
        }
        return {"versions": versions}

    def build(self, row: dict[str, Any], mode: str, compile: str, seconds: float) -> dict[str, Any]:
        """Makes the row in every variant, times each, and keeps the fastest."""
        self._step = lambda: None
        gc.collect()
        torch.compiler.reset()
        torch.cuda.empty_cache()
        steps, notes = {}, []
        for name, layout, options in _variants(row, compile, self._device):
            step = make_step(row, mode, layout, options, self._device)
            try:
                for _ in range(2):
                    step()
                self._wait()
            except Exception as error:
                # No compiler, or a network that it cannot take: eager remains.
                if compile == "always" or options is None:
                    raise
                notes.append(f"{name} failed: {_first_line(error)}")
                continue
            steps[name] = step
        rates = self._compare(steps, seconds, row["shape"][0])
        best = max(rates, key=rates.__getitem__)
        self._step = steps[best]
        parameters = sum(p.numel() for p in network(row).parameters())
        return {"parameters": parameters, "variant": best, "images_per_s": rates, "notes": notes}

    def run(self, steps: int) -> dict[str, Any]:
        """Times the row."""
        return {"seconds": self._time(self._step, steps)}

    def _compare(self, steps: dict[str, Step], seconds: float, batch: int) -> dict[str, float]:
        """Images a second of every variant, the best of turns that alternate."""
        best = dict.fromkeys(steps, 0.0)
        for _ in range(_TURNS if len(steps) > 1 else 1):
            for name, step in steps.items():
                number = max(1, round(seconds / self._time(step, 1)))
                best[name] = max(best[name], batch * number / self._time(step, number))
        return best

    def _time(self, step: Step, steps: int) -> float:
        self._wait()
        start = time.perf_counter()
        for _ in range(steps):
            step()
        self._wait()
        return time.perf_counter() - start

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize()


def _variants(
    row: dict[str, Any], compile: str, device: torch.device
) -> list[tuple[str, torch.memory_format, dict[str, Any] | None]]:
    """(name, memory layout, options of torch.compile or None): the ways to run a row.

    Modules alone also in PyTorch's own layout, which some of them prefer; CUDA graphs on a GPU.
    """
    layouts = {"channels_last": torch.channels_last}
    if not row["architecture"]:
        layouts["contiguous"] = torch.contiguous_format
    ways: dict[str, dict[str, Any] | None] = {}
    if compile != "always":
        ways["eager"] = None
    if compile != "never":
        ways["torch.compile"] = {}
        if device.type == "cuda":
            ways["torch.compile reduce-overhead"] = {"mode": "reduce-overhead"}
    return [
        (f"{way} {layout}", memory_format, options)
        for way, options in ways.items()
        for layout, memory_format in layouts.items()
    ]


def make_step(
    row: dict[str, Any],
    mode: str,
    layout: torch.memory_format,
    options: dict[str, Any] | None,
    device: torch.device,
) -> Step:
    """One step of a row as a function.

    Args:
        row: the fields of `benchmarks.rows.Row`.
        mode: train or infer; of a module, forward with backward, or forward alone.
        layout: of pictures and weights in memory.
        options: of torch.compile; None: eager.
        device: where.
    """
    torch.manual_seed(0)
    n, h, w, c = row["shape"]
    is_network, half = bool(row["architecture"]), row["precision"] == "bfloat16"
    model = network(row).to(device, memory_format=layout).train(mode == "train")
    parameters = list(model.parameters())
    call = model if options is None else torch.compile(model, **options)
    x = torch.randn(n, c, h, w, device=device).to(memory_format=layout)
    if half and not is_network:
        x = x.bfloat16()

    def forward() -> torch.Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            return call(x)

    def infer() -> torch.Tensor:
        with torch.inference_mode():
            return forward()

    if mode == "infer":
        return infer
    if not is_network:
        x.requires_grad_()
        dy = torch.randn_like(x).to(memory_format=layout)

        def both() -> Any:
            y = forward()
            return y, torch.autograd.grad(y, [x, *parameters], dy.to(y.dtype))

        return both

    objective = torch_tasks.objective(row, device)
    if options is not None and row["head"]:
        objective = torch.compile(objective, **options)
    optimizer = torch.optim.SGD(
        parameters, LEARNING_RATE, MOMENTUM, weight_decay=WEIGHT_DECAY, fused=True
    )

    def train() -> torch.Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = objective(forward())
        loss.backward()
        optimizer.step()
        return loss.detach()

    return train


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {text[0]}"[:200]


def main() -> None:
    """Answers until stdin ends."""
    # What libraries and compilers print must not end up between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    peer = Peer()
    commands: dict[str, Callable[..., dict[str, Any]]] = {
        "start": peer.start,
        "build": peer.build,
        "run": peer.run,
    }
    with contextlib.suppress(KeyboardInterrupt):
        for line in sys.stdin:
            arguments = json.loads(line)
            try:
                answer = commands[arguments.pop("do")](**arguments)
            except Exception as error:
                answer = {"error": _first_line(error)}
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
