"""Images/s of training steps and of inference, alone or against a peer on the same machine.

    python -m benchmarks.throughput --rows=resnet20,resnet20_se
    python -m benchmarks.throughput --rows=resnet20,resnet20_se --against=flax --modes=train
    python -m benchmarks.throughput --rows='*' --against=timm --torch_python=TORCH/bin/python --json=FILE

Rows are networks (`resnet20`, `resnet50_se`, `resnet18-fpn`, `resnet18-fcos_se`, ...) and attention modules
alone (`se@32x56x56x256`: N x H x W x C, any shape). Mode train is the step of `train.py`: forward, backward,
SGD with momentum, batch statistics; of a module alone, forward and backward. Both sides have the same
architecture, batch, picture size, precision and cores, and take turns; the ratio is the median over the
rounds. `--against=timm` starts a second interpreter that has torch, torchvision and timm, and takes the
faster of eager and `torch.compile`. Beside each row stands its floor on this machine, see `benchmarks.floor`.

Exit codes: 0 done, 2 bad flags, 1 anything else.
"""

import contextlib
import dataclasses
import itertools
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from absl import flags
from rich.console import Console
from rich.progress import track

from benchmarks import results, rows
from benchmarks.rows import Row, Side
from chanattn import cli
from chanattn.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from chanattn.analysis.timing import Spread

Entry = dict[str, Any]
Builder = Callable[[Row, str], Side]
MODES = ("train", "infer")
_LEAST_STEPS = 2  # of a turn
# Threads of both runtimes spin a little after their last task; the next side shall not pay for that.
_SETTLE_SECONDS = 0.1


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags of this program."""
    text, number, one_of = flags.DEFINE_string, flags.DEFINE_integer, flags.DEFINE_enum
    path = cli.define_path
    v: Any = {"flag_values": values}
    text("rows", "resnet20*", "comma-separated names or patterns; '*' is all", **v)
    text("modes", "train,infer", "train, infer or both", **v)
    one_of("against", None, ["timm", "flax"], "the peer; default: none", **v)
    path("torch_python", None, "interpreter with torch and timm, for --against=timm", **v)
    one_of("torch_compile", "auto", ["auto", "never", "always"], "auto: the faster counts", **v)
    number("rounds", 5, "how often both sides take turns", lower_bound=1, **v)
    flags.DEFINE_float("seconds", 2.0, "about how long a turn takes", lower_bound=0.0, **v)
    number("batch_size", 0, "images a step; 0: each row's own", lower_bound=0, **v)
    one_of("precision", "float32", ["float32", "bfloat16"], "type of the activations", **v)
    one_of("kernels", "auto", ["auto", "onednn", "xla", "plain"], "ours, on a CPU", **v)
    number("threads", 0, "cores of both sides; 0: all", lower_bound=0, **v)
    number("devices", 0, "our CPU devices; 0: as the training loop", lower_bound=0, **v)
    path("json", None, "file for everything measured, renewed after every row", **v)


def main() -> None:
    """Measures as the flags say."""
    values = flags.FLAGS
    chosen, modes = rows.choose(values.rows), choose_modes(values.modes)
    check(values)
    _confine(values.threads)
    environment = dict(os.environ)  # before our libraries set variables for themselves
    # Only now: JAX sees the cores that there are when it starts.
    from jax.errors import JaxRuntimeError

    from benchmarks import flax_peer, floor, ours
    from benchmarks.torch_client import PeerFailed, TorchProcess
    from chanattn.cores import usable_cores
    from chanattn.training.mesh import setup

    device = "cpu" if ours.start(values.devices, values.kernels) == "cpu" else "gpu"
    work = rows.make(
        chosen,
        batch_size=values.batch_size,
        on_accelerator=device == "gpu",
        precision=values.precision,
    )
    for row in work:  # refused before anything is measured
        setup(ours.config_of(row, values.devices, values.kernels))
        if values.against == "flax":
            flax_peer.check(row)

    limits = floor.measure(values.precision)
    entries: list[Entry] = []
    failed: list[Entry] = []
    with contextlib.ExitStack() as stack:
        more: Entry = {"failed": failed, "limits": dataclasses.asdict(limits)}
        peer: Builder | None = flax_peer.build if values.against == "flax" else None
        if values.against == "timm":
            threads = usable_cores()
            torch = stack.enter_context(
                TorchProcess(
                    values.torch_python, threads=threads, device=device, environment=environment
                )
            )
            more["versions"] = torch.versions
            how = {"compile": values.torch_compile, "seconds": values.seconds / 2}
            peer = partial(torch.build, **how)
        build = partial(ours.build, devices=values.devices, convolutions=values.kernels)
        pairs = list(itertools.product(work, modes))
        # Drawn when something is done, by no thread that would run beside what is timed.
        console = Console(stderr=True)
        for row, mode in track(pairs, "throughput", console=console, auto_refresh=False):
            try:
                sides = [side(row, mode) for side in (build, peer) if side]
                entries.append(measure(row, mode, sides, values.rounds, values.seconds))
                entries[-1] |= {"peer": values.against, "kernels": values.kernels}
                if needed := sides[0].work:
                    most = row.batch / needed.seconds(limits)
                    entries[-1] |= dataclasses.asdict(needed) | {"floor_images_per_s": most}
            # What ends a row but not those after it, such as memory that does not suffice.
            except (PeerFailed, JaxRuntimeError) as error:
                reason = str(error).partition("\n")[0]
                failed.append({"row": row.name, "mode": mode, "error": reason})
                console.print(f"{row.name} {mode}: not measured: {reason}", highlight=False)
            if values.json:  # a killed run loses nothing
                results.write(values.json, "throughput", entries, **more)
    report = {"benchmark": "throughput", "rows": entries, **more}
    results.show(report, on_gpu=device == "gpu")
    if failed:
        sys.exit(cli.FAILED)


def measure(
    row: Row, mode: str, sides: Sequence[Side], rounds: int, seconds: float
) -> dict[str, Any]:
    """Times the sides of a row in turns: what is written of it.

    Medians of the rounds, the lowest and the highest. Of networks with different numbers of parameters no
    ratio is given: they are not the same network.

    Args:
        row: what to run.
        mode: train or infer.
        sides: ours, and the peer's if there is one.
        rounds: how often each has its turn.
        seconds: about how long a turn takes; at least two steps.
    """
    from chanattn.analysis.timing import Spread, take_turns

    turns = take_turns(
        dict(enumerate(sides)),
        rounds=rounds,
        seconds=seconds,
        least_steps=_LEAST_STEPS,
        settle=_SETTLE_SECONDS,
    )
    rates = [[row.batch / each for each in turn.seconds] for turn in turns.values()]
    ours, *others = sides
    entry: Entry = {
        "row": row.name,
        "mode": mode,
        **_spread("ours", Spread.of(rates[0])),
        **_spread("peer", None),
        **_spread("ratio", None),
        "batch": row.batch,
        "shape": list(row.shape),
        "precision": row.precision,
        "rounds": rounds,
        "ours_steps": turns[0].steps,
        "ours_variant": ours.variant,
        "parameters": ours.parameters,
        "notes": [],
    }
    for peer in others:
        entry |= {
            **_spread("peer", Spread.of(rates[1])),
            "peer_steps": turns[1].steps,
            "peer_variant": peer.variant,
            "peer_variants_images_per_s": dict(peer.images_per_s),
            "peer_parameters": peer.parameters,
            "notes": list(peer.notes),
        }
        if ours.parameters == peer.parameters:
            entry |= _spread("ratio", Spread.of_ratios(*rates))
        else:
            entry["notes"].append(
                f"no ratio: {ours.parameters:,} parameters against the peer's {peer.parameters:,}"
            )
    return entry


def _spread(name: str, spread: "Spread | None") -> Entry:
    median = "ratio" if name == "ratio" else f"{name}_images_per_s"
    values = (spread.median, spread.low, spread.high) if spread else (None, None, None)
    names = (median, f"{name}_lowest", f"{name}_highest")
    return {n: v and float(f"{v:.6g}") for n, v in zip(names, values, strict=True)}


def choose_modes(listed: str) -> list[str]:
    """The modes of a comma-separated list.

    Raises:
        UsageError: one is unknown, or there is none.
    """
    chosen = [mode.strip() for mode in listed.split(",") if mode.strip()]
    for mode in chosen:
        if mode not in MODES:
            raise UsageError(
                f"unknown mode {mode!r}; valid: {', '.join(MODES)}.{did_you_mean(mode, MODES)}"
            )
    if not chosen:
        raise UsageError(f"--modes lists nothing; valid: {', '.join(MODES)}")
    return list(dict.fromkeys(chosen))


def check(values: flags.FlagValues) -> None:
    """Refuses flags that contradict each other, and a file that cannot be written, before hours are spent.

    Raises:
        UsageError: so it is.
    """
    if values.against == "timm" and not values.torch_python:
        raise UsageError(
            "--against=timm needs --torch_python=PYTHON, an interpreter with torch, torchvision and timm"
        )
    if values.torch_python and values.against != "timm":
        raise UsageError("--torch_python is only for --against=timm")
    if values.json and not values.json.absolute().parent.is_dir():
        raise UsageError(f"--json={values.json}: there is no such folder")
    if values.json and values.json.is_dir():
        raise UsageError(f"--json={values.json} is a folder; name a file")


def _confine(threads: int) -> None:
    """Gives this process, and so the peer, its cores, and one GPU at most.

    On a GPU both sides live on one card: JAX must not take its memory beforehand.
    """
    from chanattn.cores import use_cores

    try:
        use_cores(threads)
    except ValueError as error:
        raise UsageError(f"--threads={threads}: {error}") from error
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
    os.environ["CUDA_VISIBLE_DEVICES"] = visible.partition(",")[0]
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


if __name__ == "__main__":
    define_flags()
    cli.run(main)
