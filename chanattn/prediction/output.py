"""Predictions on the terminal, as JSON, and as pictures with their answers."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from chanattn.errors import UsageError, some, visible
from chanattn.files import write_bytes, write_json
from chanattn.labels import one_line
from chanattn.prediction.predictor import Predictor, Unreadable
from chanattn.prediction.sheet import encoded
from chanattn.streams import say
from chanattn.tasks import Task
from chanattn.training.space import check_writable

FORMAT = 1
_LONGEST_NAME = 100  # bytes of a picture's name in that of its drawing


def check(json: Path | None, save: Path | None) -> None:
    """Refuses places that `predict` cannot write to.

    Raises:
        UsageError: one cannot be written.
    """
    if json is not None:
        check_writable(json.parent, "--json")
        if json.is_dir():
            raise UsageError(f"--json={json} is a folder; name a file")
    if save is not None:
        check_writable(save, "--save")


def predict(
    predictor: Predictor,
    files: Sequence[Path],
    *,
    top: int | None = None,
    json: Path | None = None,
    save: Path | None = None,
) -> None:
    """Answers on all files: a table on standard output, and what else is asked for.

    Pictures that cannot be read are named on standard error, one a line, and the others answered.

    Args:
        predictor: the network.
        files: the pictures.
        top: how many of the best answers on each are told; None: as many as the task says.
        json: file for the answers and how they were made.
        save: folder for a drawing of each picture with its answer, `0001-NAME.png` and so on, for what
            the task saves beside it (`Task.files`), and for what it writes of all answers (`Task.exports`).

    Raises:
        UsageError: at the end, if pictures could not be read; or something cannot be written.
    """
    task = predictor.task
    top = task.most_told if top is None else top
    answered: list[tuple[str, dict[str, Any]]] = []
    unreadable: list[Unreadable] = []
    for number, (file, answer) in enumerate(
        zip(files, predictor.answers(files, top), strict=True), start=1
    ):
        if isinstance(answer, Unreadable):
            unreadable.append(answer)
            continue
        answered.append((str(file), answer))
        if save is not None:
            parts = {".png": encoded(predictor.draw(file, answer)), **task.files(answer)}
            for ending, content in parts.items():
                _write(write_bytes, save / (_name(number, file) + ending), content, "--save")
    if save is not None:
        for ending, content in task.exports(answered, predictor.class_names).items():
            _write(write_bytes, save / f"all{ending}", content, "--save")
    if json is not None:
        _write(write_json, json, _told(predictor, answered, unreadable, top), "--json")
    if answered:
        show(predictor.origin, task, answered)
        written = [str(path) for path in (json, save) if path is not None]
        if written:
            print("written to " + "\n           ".join(map(visible, written)))
    _end(len(files), unreadable)


def show(
    origin: Mapping[str, Any],
    task: Task,
    answered: Sequence[tuple[str, Mapping[str, Any]]],
    console: Console | None = None,
) -> None:
    """Prints answers as a table.

    Args:
        origin: of the weights, see `Predictor`.
        task: that gave them.
        answered: pictures with their answers.
        console: where to; None: standard output.
    """
    console = console or Console(highlight=False, emoji=False)
    of = f"{origin['run']}, step {origin['step']}" if "run" in origin else origin["file"]
    table = Table(title=Text(one_line(f"{of} ({origin['weights']} weights)")))
    table.add_column("picture")
    for number, heading in enumerate(task.table):
        table.add_column(heading, justify="right" if number else "left")
    for picture, answer in answered:
        rows = task.rows(answer)
        for place, row in enumerate(rows):
            table.add_row(
                Text("" if place else one_line(picture), overflow="fold"),
                *map(Text, row),
                end_section=place == len(rows) - 1,
            )
    console.print(table)


def _told(
    predictor: Predictor,
    answered: Sequence[tuple[str, dict[str, Any]]],
    unreadable: Sequence[Unreadable],
    top: int | None,
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        **predictor.origin,
        "task": predictor.config.task.name,
        "class_names": list(predictor.class_names),
        "top": top,
        "predictions": [{"picture": name, "answer": _plain(answer)} for name, answer in answered],
        "unreadable": [{"picture": error.picture, "reason": error.reason} for error in unreadable],
        "how": predictor.conditions(len(answered) + len(unreadable)),
    }


def _plain(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if not isinstance(value, np.ndarray)}


def _write(write: Callable[[Path, Any], None], path: Path, content: Any, flag: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, content)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}; choose another {flag}") from error


def _name(number: int, file: Path) -> str:
    """Of a drawing, without its ending: no two alike, whatever the pictures are called."""
    plain = re.sub(r"[^\w.-]", "_", file.stem).encode(errors="replace")[:_LONGEST_NAME]
    return f"{number:04}-{plain.decode(errors='ignore')}"


def _end(total: int, unreadable: Sequence[Unreadable]) -> None:
    """Names what was left out.

    Raises:
        UsageError: there is something.
    """
    if len(unreadable) == total:
        if total == 1:
            raise unreadable[0]
        named = some(f"{error.picture} ({error.reason})" for error in unreadable)
        raise UsageError(f"none of the {total:,} pictures can be read: {named}")
    for error in unreadable:
        say(f"skipped: {visible(str(error))}")
    if unreadable:
        raise UsageError(f"{len(unreadable):,} of {total:,} pictures could not be read")
