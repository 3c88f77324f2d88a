"""Run directories that cannot be written, belong to others or are damaged."""

import fcntl
import json
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from tests.reliability.case import Case
from tests.reliability.making import both, run, text, tiny
from tests.support.fake_sweep import write_sweep

TRAIN = "train.py --config=tiny.py --workdir=RUN"
TOUCHED = (r"RUN/(\.lock|config\.json|environment\.json)",)
EVAL = "eval.py --workdir=RUN"
PACK = "python -m chanattn.packing pack"
MANY = " ".join(
    f"--config.{change}"
    for change in (
        *("seed=1", "log_every=3", "eval_every=4", "checkpoint_every=5"),
        *("optimizer.learning_rate=1", "optimizer.momentum=0.8", "model.dropout=0.1"),
    )
)
_HELD: list[TextIO] = []  # locks of this process, until it ends


def sweep(folder: Path) -> None:
    """S, a sweep of four runs."""
    write_sweep(folder / "S", {"none": [0.9, 0.91], "se": [0.92, 0.93]})


def _unwritable(folder: Path) -> None:
    tiny(folder)
    (folder / "RUN").mkdir(mode=0o555)


def _locked(folder: Path) -> None:
    tiny(folder)
    (folder / "RUN").mkdir()
    _HELD.append((folder / "RUN" / ".lock").open("w"))
    fcntl.flock(_HELD[-1], fcntl.LOCK_EX)


def _without_config(folder: Path) -> None:
    run(folder)
    (folder / "RUN" / "config.json").unlink()


def _of_another_field(folder: Path) -> None:
    run(folder)
    path = folder / "RUN" / "config.json"
    path.write_text(path.read_text().replace('"steps"', '"stepss"'))


def flipped(folder: Path) -> None:
    """Turns a byte in the largest file of the weights."""
    run(folder)
    files = (folder / "RUN" / "checkpoints" / "2" / "weights").rglob("*")
    largest = max((path for path in files if path.is_file()), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 0xFF
    largest.write_bytes(content)


def without_checkpoints(folder: Path) -> None:
    """RUN with a config alone."""
    tiny(folder)
    (folder / "RUN").mkdir()
    config = (folder.parent / "trained" / "RUN" / "config.json").read_text()
    (folder / "RUN" / "config.json").write_text(config)


CLASSES = json.dumps({"names": ["cat", *(f"class {number}" for number in range(1, 10))]})
TURNED = json.dumps({"names": [f"class {number}" for number in reversed(range(10))]})


def replaced(name: str, content: str) -> Callable[[Path], None]:
    """The run with another content of one file."""
    return both(run, text(f"RUN/{name}", content))


CASES = (
    Case("a file", TRAIN, both(tiny, text("RUN", ""))),
    Case("below a file", "train.py --config=tiny.py --workdir=tiny.py/RUN", tiny),
    Case("may not be written", TRAIN, _unwritable, unprivileged=True),
    Case(
        "name of 300 characters", ("train.py", "--config=tiny.py", f"--workdir={'r' * 300}"), tiny
    ),
    Case(
        "path without room for its files",
        ("train.py", "--config=tiny.py", f"--workdir={'/'.join(['r' * 200] * 20)}"),
        tiny,
        varies=r"(?<=has )\d+",
    ),
    Case("address of a service", "train.py --config=tiny.py --workdir=gs://bucket/RUN", tiny),
    Case("in use by another process", TRAIN, _locked, writes=("RUN/.lock",)),
    Case("run of another config", f"{TRAIN} --config.optimizer.learning_rate=1", run),
    Case("run of quite another config", f"{TRAIN} {MANY}", run),
    Case("checkpoints without a config", TRAIN, _without_config),
    Case("damaged config.json", TRAIN, replaced("config.json", '{"steps": 2')),
    Case("config.json that is a list", TRAIN, replaced("config.json", "[]")),
    Case("config.json with an unknown field", EVAL, _of_another_field),
    Case("run on other classes", TRAIN, replaced("classes.json", CLASSES)),
    Case("damaged classes.json", TRAIN, replaced("classes.json", "[]")),
    Case(
        "damaged metrics.jsonl",
        TRAIN,
        replaced("metrics.jsonl", "{\n{}\n"),
        writes=TOUCHED,
    ),
    Case(
        "metrics.jsonl of other values",
        TRAIN,
        replaced("metrics.jsonl", "[1]\n"),
        writes=TOUCHED,
    ),
    Case("evaluation of what is no run", EVAL),
    Case("evaluation of a sweep", "eval.py --workdir=S", sweep),
    Case("training into a sweep", "train.py --config=tiny.py --workdir=S", both(tiny, sweep)),
    Case("pack of an empty config", f"{PACK} RUN RUN.tar", text("RUN/config.json", "{}")),
    Case("pack of a damaged sweep", f"{PACK} S S.tar", text("S/sweep.json", "{}")),
    Case("evaluation of a run without checkpoints", EVAL, without_checkpoints),
    Case("evaluation of a damaged config.json", EVAL, replaced("config.json", "\x00")),
    Case("evaluation of a step that is absent", f"{EVAL} --step=7", run),
    Case(
        "evaluation of a damaged checkpoint",
        EVAL,
        flipped,
        varies=r"(?<=weights/).*(?= differ)",  # where an array lies in the file is Orbax's choice
    ),
    Case("evaluation on an unknown set", f"{EVAL} --dataset=cifar11", run),
    Case("evaluation on other classes", f"{EVAL} --dataset=digits", run),
    Case("evaluation of a run on other classes", EVAL, replaced("classes.json", CLASSES)),
    Case("evaluation on classes in another order", EVAL, replaced("classes.json", TURNED)),
    Case("evaluation on an unknown split", f"{EVAL} --split=tset", run),
    Case(
        "evaluation where nothing may be written",
        EVAL,
        lambda folder: (run(folder), (folder / "RUN").chmod(0o555))[0],
        unprivileged=True,
    ),
)
