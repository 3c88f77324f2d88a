"""Time to a finished table: the digits table of `make ablation` against the same one by plain PyTorch.

    python -m benchmarks.table --torch_python=TORCH/bin/python --json=table.json
    python -m benchmarks.table --torch_python=TORCH/bin/python --variants=none,se --seeds=2 --rounds=3

Both sides train the same networks for the same steps from a cold process, in turns. Ours is the sweep as a
user starts it, with its cost measurement, pictures and report: with nothing compiled (`cold`), with what that
has compiled (`filled`), and so but without the cost measurement (`--nocost`), which the peer has not either.
The peer (`benchmarks.torch_table`) reads the pictures once, and writes no report; it runs in every way of
--peers (processes x threads of each), the fastest of which counts.
"""

import dataclasses
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from rich.console import Console
from rich.progress import track

from benchmarks import results
from chanattn import cli
from chanattn.data.sources import digits
from chanattn.errors import UsageError
from chanattn.runs.summary import Summary

_RECIPE = "configs/ablations/mechanisms.py:digits"
_VARIANTS = ("none", "se", "eca", "cbam", "simam", "gc")


@dataclasses.dataclass(frozen=True)
class Table:
    """A finished table.

    Attributes:
        seconds: from the launch to the end.
        processor_s: of all its processes.
        top1: mean accuracy over all runs, by which it is seen that both sides learn the same.
    """

    seconds: float
    processor_s: float
    top1: float


def main() -> None:
    """Measures as the flags say."""
    values = flags.FLAGS
    results.keep_bytecode()
    variants = chosen(values.variants)
    rows = measure(
        variants, values.seeds, values.rounds, values.torch_python, values.peers.split(",")
    )
    results.report("table", rows, values.json)


def chosen(listed: str) -> list[str]:
    """The variants of a comma-separated list.

    Raises:
        UsageError: there is none, or one that the table has not.
    """
    variants = [name for name in listed.split(",") if name]
    if not variants or not set(variants) <= set(_VARIANTS):
        raise UsageError(f"--variants={listed}: name some of {', '.join(_VARIANTS)}")
    return variants


def measure(
    variants: Sequence[str], seeds: int, rounds: int, torch: Path | None, peers: Sequence[str]
) -> list[dict[str, Any]]:
    """Medians of the rounds for each side, and how many times faster ours is than the fastest peer.

    Args:
        variants: of the table.
        seeds: of each variant, from 0.
        rounds: how often each side has its turn.
        torch: interpreter of the peer; None: ours alone.
        peers: ways to run it, as "2x1" for two processes of one thread.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder / "digits.npz")

        def ours(cache: str, *more: str) -> Callable[[int], Table]:
            return lambda number: run_ours(variants, seeds, folder, number, cache, more)

        def peer(way: str) -> Callable[[int], Table]:
            return lambda _: run_peer(torch, way, variants, seeds, folder / "digits.npz")

        sides = {"ours, cold": ours("cold"), "ours, filled": ours("filled")}
        sides["ours, filled, no costs"] = ours("again", "--nocost")
        if torch is not None:
            sides |= {f"PyTorch, {way}": peer(way) for way in peers}
        turns: dict[str, list[Table]] = {side: [] for side in sides}
        for number in track(range(rounds), "table", console=Console(stderr=True)):
            for side, run in sides.items():
                turns[side].append(run(number))
    medians = {
        side: {
            field.name: statistics.median(getattr(each, field.name) for each in turn)
            for field in dataclasses.fields(Table)
        }
        for side, turn in turns.items()
    }
    others = [medians[side] for side in medians if side.startswith("PyTorch")]
    return [
        {
            "side": side,
            "table": f"{len(variants)} x {seeds}",
            "rounds": rounds,
            **medians[side],
            **{
                f"peer_over_ours_{field}": min(other[field] for other in others)
                / medians[side][field]
                for field in ("seconds", "processor_s")
                if others and side.startswith("ours")
            },
        }
        for side in sides
    ]


def write_data(path: Path) -> None:
    """Both splits as the peer takes them: (N, 3, 8, 8) float32 in [0, 1], and labels."""
    stored, labels = digits.load()
    images = np.rint(stored * (255 / 16)) / 255
    pictures = np.repeat(images.astype(np.float32)[:, None], 3, axis=1)
    test = digits.is_test(labels)
    arrays: dict[str, Any] = {}
    for split, chosen in (("train", ~test), ("test", test)):
        arrays |= {f"{split}_images": pictures[chosen], f"{split}_labels": labels[chosen]}
    np.savez(path, **arrays)


def run_ours(
    variants: Sequence[str],
    seeds: int,
    folder: Path,
    number: int,
    cache: str,
    more: Sequence[str] = (),
) -> Table:
    """The sweep, in a folder of its own.

    Args:
        variants: of the table.
        seeds: of each.
        folder: for runs and compiled programs.
        number: of the round.
        cache: "cold" leaves its programs for the others of the same round.
        more: flags.
    """
    sweep = folder / f"sweep{number}-{cache}"
    command = [sys.executable, "-m", "chanattn.sweep", f"--config={_RECIPE}", f"--workdir={sweep}"]
    command += [f"--only={','.join(variants)}", f"--seeds={seeds}", *more]
    variables = dict(os.environ) | {"XDG_CACHE_HOME": str(folder / f"cache{number}")}
    variables.pop("JAX_COMPILATION_CACHE_DIR", None)
    seconds, processor, _ = _timed(command, variables)
    summaries = [Summary.read(path.parent) for path in sweep.glob("runs/*/*/summary.json")]
    found = [each.final["test"]["top1"] for each in summaries if each is not None]
    if len(found) != len(variants) * seeds:
        raise RuntimeError(f"only {len(found)} runs of the sweep are there")
    return Table(seconds, processor, statistics.mean(value or 0.0 for value in found))


def run_peer(
    torch: Path | None, way: str, variants: Sequence[str], seeds: int, data: Path
) -> Table:
    """The script, in one of its ways.

    Raises:
        UsageError: there is no such way.
    """
    processes, _, threads = way.partition("x")
    if not (processes.isdecimal() and threads.isdecimal()):
        raise UsageError(f"--peers={way}: write PROCESSESxTHREADS, as 2x1")
    command = [str(torch), "-sE", "-m", "benchmarks.torch_table", f"--data={data}"]
    command += [f"--variants={','.join(variants)}", f"--processes={processes}"]
    command += [f"--threads={threads}", f"--seeds={','.join(map(str, range(seeds)))}"]
    seconds, processor, printed = _timed(command, dict(os.environ))
    table = json.loads(printed.splitlines()[-1])["variants"]
    return Table(seconds, processor, statistics.mean(row["mean"] for row in table.values()))


def _timed(command: Sequence[str], variables: dict[str, str]) -> tuple[float, float, str]:
    """Seconds and processor seconds of a command with all its children, and what it printed.

    Raises:
        RuntimeError: it failed.
    """
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        command, cwd=results.ROOT, env=variables, capture_output=True, text=True, check=False
    )
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:4])} failed:\n{done.stderr[-2000:]}")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, used, done.stdout


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags of this program."""
    v: Any = {"flag_values": values}
    flags.DEFINE_string("variants", ",".join(_VARIANTS), "comma-separated rows of the table", **v)
    flags.DEFINE_integer("seeds", 5, "runs of each", lower_bound=1, **v)
    flags.DEFINE_integer("rounds", 1, "how often each side has its turn", lower_bound=1, **v)
    cli.define_path("torch_python", None, "interpreter with torch; default: ours alone", **v)
    flags.DEFINE_string("peers", "2x1,1x2", "processes x threads of the peer", **v)
    cli.define_path("json", None, "file to write", **v)


if __name__ == "__main__":
    define_flags()
    cli.run(main)
