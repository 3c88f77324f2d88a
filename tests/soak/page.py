"""Makes the section "Load" of docs/reliability.md, and its picture, of the results of the soak programs.

python -m tests.soak.page
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.results import ROOT, read
from chanattn import cli
from chanattn.analysis.hardware import describe

PAGE = ROOT / "docs" / "reliability.md"
RESULTS = ROOT / "docs" / "reliability"
PICTURE = "soak-training.png"
BEGIN, END = "<!-- load: made by python -m tests.soak.page -->", "<!-- end of load -->"
Report = Mapping[str, Any]

_MEASURES = {
    "memory_mb": "memory allocated and resident, MB: mean of the second tenth, of the last",
    "most_threads": "most threads at a time: first half, second half",
    "most_files": "most open files at a time: first half, second half",
    "cpu_ms": "processor time a step, all else included, ms: first half, second half",
    "step_ms": "wall clock a step, median, ms: first half, second half",
}


def main() -> None:
    """Writes section and picture."""
    reports = read(RESULTS)
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(replace(text, section(reports)), encoding="utf-8")
    draw(reports["soak-training.json"], RESULTS / PICTURE)
    print(f"written: {PAGE} {RESULTS / PICTURE}")


def replace(page: str, text: str) -> str:
    """The page with another text between the marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{text}{END}{after}"


def section(reports: Mapping[str, Report]) -> str:
    """The text of the section, Markdown."""
    parts = {
        "soak-training": _training,
        "soak-kills": _kills,
        "soak-sweep": _sweep,
        "soak-staying": _staying,
    }
    lines = []
    for name, describing in parts.items():
        if f"{name}.json" in reports:
            lines += [*describing(reports[f"{name}.json"]), ""]
    return "\n".join([*lines, *_how(reports), ""])


def _training(report: Report) -> list[str]:
    (row,) = report["rows"]
    measured = [(label, row[name]) for name, label in _MEASURES.items() if name in row]
    return [
        f"**A long training**: {row['steps']:,} steps of the digits recipe (SE-ResNet-8, batch 64, moving"
        f" averages, TensorBoard) with {row['evaluations']} evaluations and {row['checkpoints']}"
        f" checkpoints in {row['minutes']:g} minutes. Its first tenth is the warm-up, and left out.",
        "",
        "| | before | after | change |",
        "|---|---|---|---|",
        *(
            f"| {label} | {_pair(pair)} | {pair[1] / pair[0] - 1:+.1%} |"
            for label, pair in measured
        ),
        "",
        f"![Memory and time of a step over the training](reliability/{PICTURE})",
    ]


def _kills(report: Report) -> list[str]:
    (row,) = report["rows"]
    return [
        f"**A training killed {row['kills']} times** by SIGKILL, {row['while_starting']} times while it"
        f" started, else at random among {row['steps']} steps: all {row['lines_equal']} lines of its log"
        " (loss, learning rate and norms of every step, accuracies of raw and averaged weights) and all"
        f" {row['arrays_equal']} arrays of its last checkpoint (parameters, batch statistics, averages,"
        " optimizer) equal those of an undisturbed training to the bit.",
    ]


def _sweep(report: Report) -> list[str]:
    (row,) = report["rows"]
    share = row["workers_killed"] / row["workers_started"]
    return [
        f"**A sweep of {row['runs']} runs** of {row['steps']} steps by the local launcher, its workers"
        f" killed at random: {row['workers_killed']} of {row['workers_started']} ({share:.0%}), a run up to"
        f" {row['most_kills_of_a_run']} times, {row['killed_before_training']} before they had logged"
        f" anything. It ended complete after {row['seconds'] / 60:.0f} minutes, with its report;"
        f" {row['runs_compared']} of the runs that were killed, trained again undisturbed, logged the same"
        f" numbers to the bit. The steps of a run take {row['seconds_of_steps']:g} s, all of it"
        f" {row['seconds_a_worker']:g} s (medians).",
    ]


def _staying(report: Report) -> list[str]:
    (row,) = report["rows"]
    before, after = row["memory_mb"]
    behind = row["runs_behind_warm_up"]
    return [
        f"**{row['runs']} runs in one worker**, {row['steps']} steps each, of {row['variants']} variants on"
        f" four sets of pictures, more than it keeps. In the first {row['runs'] - behind} it comes to keep"
        f" as much as it may; from then on, the memory that it has allocated goes from {before:,} to"
        f" {after:,} MB, by a straight line through all {behind} runs {row['growth_kb_a_run']:+g} KB a run,"
        f" with at most {row['most_threads']} threads and {row['most_files']} open files.",
    ]


def _how(reports: Mapping[str, Report]) -> list[str]:
    lines = []
    for name, report in reports.items():
        how = report["how"]
        versions = ", ".join(
            f"{part} {how['versions'][part]}" for part in ("python", "jax", "flax")
        )
        lines.append(
            f"* `{how['command']}`: {how['date'][:16]}, commit {str(how['git'])[:12]}, {versions}; "
            f"{describe(report['hardware'])} ([{name}](reliability/{name}))"
        )
    return lines


def _pair(values: list[float]) -> str:
    return " | ".join(f"{value:,.4g}" if value < 1000 else f"{value:,.0f}" for value in values)


def draw(report: Report, path: Path) -> None:
    """Resident memory and time of a step over the steps of the training, as a PNG."""
    series, times = report["series"], report["step_times"]
    figure = Figure(figsize=(7.0, 4.0), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    above.plot(series["step"], series["memory_mb"], color="C0")
    above.set_ylabel("resident memory, MB")
    below.plot(times["step"], times["step_ms"], color="C1")
    below.set_ylabel("time of a step, ms")
    below.set_xlabel("step")
    for axes in (above, below):
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(describe(report["hardware"]), fontsize=8)
    figure.savefig(path, dpi=120, metadata={"Description": report["how"]["command"]})


if __name__ == "__main__":
    cli.run(main)
