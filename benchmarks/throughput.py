"""Images/s of training steps and of inference, alone or against a peer on the same machine.

    python -m benchmarks.throughput --rows=resnet20,resnet20_se
    python -m benchmarks.throughput --rows='resnet20*' --against=flax --modes=train
    python -m benchmarks.throughput --rows='*' --against=timm --torch-python=TORCH/bin/python --json=FILE

Rows are networks (`resnet20`, `resnet50_se`, ...) and attention modules alone (`se@32x56x56x256`: N x H x W x
C, any shape). Mode train is the step of `train.py`: forward, backward, SGD with momentum, batch statistics;
of a module alone, forward and backward. Both sides have the same architecture, batch, picture size, precision
and cores, and take turns; the ratio is the median over the rounds. `--against=timm` starts a second
interpreter that has torch, torchvision and timm, and takes the faster of eager and `torch.compile`.

Exit codes: 0 done, 2 bad flags, 1 anything else.
"""

import itertools
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from absl import flags
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks import rows
from chanattn import cli
from chanattn.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from benchmarks.bench import Bench
    from benchmarks.rows import Row

MODES = ("train", "infer")
_STAGES = 3  # of a measurement beside its rounds: our side, the peer's, warming up


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
    path("markdown", None, "file for the table", **v)
    path("plot", None, "file for a picture, .png", **v)


def main() -> None:
    """Measures as the flags say."""
    values = flags.FLAGS
    chosen, modes = rows.choose(values.rows), choose_modes(values.modes)
    check(values)
    _confine(values.threads)
    environment = dict(os.environ)  # before our libraries set variables for themselves
    # Only now: JAX sees the cores that there are when it starts.
    from benchmarks import bench, ours, table

    device = "cpu" if ours.start(values.devices, values.kernels) == "cpu" else "gpu"
    settings = bench.Settings(
        against=values.against,
        torch_python=values.torch_python and str(values.torch_python),
        torch_compile=values.torch_compile,
        rounds=values.rounds,
        seconds=values.seconds,
        kernels=values.kernels,
        devices=values.devices,
        device=device,
        environment=environment,
    )
    work = rows.make(
        chosen,
        batch_size=values.batch_size,
        on_accelerator=device == "gpu",
        precision=values.precision,
    )
    with bench.Bench(settings) as both:
        both.check(work)
        _measure(both, work, modes, values)
        report = both.report()
    out = Console(width=None if Console().is_terminal else 200, highlight=False)
    out.print(table.terminal(report["rows"]))
    for note in table.notes_of(report["rows"]):
        out.print(note)
    if report["failed"]:
        sys.exit(cli.FAILED)


def _measure(
    both: "Bench", work: Sequence["Row"], modes: Sequence[str], values: flags.FlagValues
) -> None:
    """Every row in every mode, with a bar and the time that is left on stderr."""
    from benchmarks import bench, table

    console = Console(highlight=False, stderr=True)
    stages = _STAGES + values.rounds
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    # Drawn when something is done, by no thread that would run beside what is timed.
    with Progress(*columns, console=console, auto_refresh=False) as progress:
        bar = progress.add_task("", total=len(work) * len(modes) * stages)
        for number, (row, mode) in enumerate(itertools.product(work, modes), 1):
            title = f"{row.name} {mode}"

            def tick(what: str, title: str = title) -> None:
                progress.update(bar, advance=1, description=f"{title}: {what}", refresh=True)

            try:
                text = table.line(both.measure(row, mode, tick))
            except bench.FAILURES as error:
                text = f"{title}: not measured: {bench.first_line(error)}"
            console.print(text, soft_wrap=True)
            progress.update(bar, completed=number * stages)
            write(values, both.report())


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
    """Refuses flags that contradict each other, and files that cannot be written, before hours are spent.

    Raises:
        UsageError: so it is.
    """
    if values.against == "timm" and not values.torch_python:
        raise UsageError(
            "--against=timm needs --torch-python=PYTHON, an interpreter with torch, torchvision and timm"
        )
    if values.torch_python and values.against != "timm":
        raise UsageError("--torch-python is only for --against=timm")
    for flag in ("json", "markdown", "plot"):
        path = values[flag].value
        if path is not None and not path.absolute().parent.is_dir():
            raise UsageError(f"--{flag}={path}: there is no such folder")
        if path is not None and path.is_dir():
            raise UsageError(f"--{flag}={path} is a folder; name a file")
    given = [path for path in (values.json, values.markdown, values.plot) if path is not None]
    if len(set(given)) < len(given):
        raise UsageError("--json, --markdown and --plot write a file each; name different ones")
    if values.plot and values.plot.suffix != ".png":
        raise UsageError(f"--plot={values.plot}: the name must end in .png")


def write(values: flags.FlagValues, report: dict[str, Any]) -> None:
    """Renews the files that were asked for; called after every row, so that a killed run loses nothing."""
    from benchmarks import plot, table
    from chanattn.training.run_directory import write_json, write_text

    if values.json:
        write_json(values.json, report)
    if values.markdown:
        write_text(values.markdown, table.markdown(report))
    if values.plot and report["rows"]:
        plot.plot(report, values.plot)


def with_underscores(argv: Sequence[str]) -> list[str]:
    """The command line with `--torch-python` as `--torch_python`, and so on; values stay."""

    def spelled(argument: str) -> str:
        name, equals, value = argument.partition("=")
        if not name.startswith("--"):
            return argument
        return f"--{name[2:].replace('-', '_')}{equals}{value}"

    return list(map(spelled, argv))


def _confine(threads: int) -> None:
    """Gives this process, and so the peer, its cores, and one GPU at most.

    On a GPU both sides live on one card: JAX must not take its memory beforehand.
    """
    from chanattn.analysis.hardware import use_cores

    try:
        use_cores(threads)
    except ValueError as error:
        raise UsageError(f"--threads={threads}: {error}") from error
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
    os.environ["CUDA_VISIBLE_DEVICES"] = visible.partition(",")[0]
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


if __name__ == "__main__":
    define_flags()
    cli.run(main, argv=with_underscores(sys.argv))
