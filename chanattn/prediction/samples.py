"""`samples.png`: some examples of the evaluation split, what is known of them, and what a network answers."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from chanattn import data, tasks
from chanattn.data.captions import Captions
from chanattn.data.decode import Decoding
from chanattn.data.fields import Placement
from chanattn.data.source import Record, Source
from chanattn.data.sources.own_pictures import OwnPictures
from chanattn.files import write_bytes
from chanattn.prediction.predictor import Predictor, Unreadable, in_colours
from chanattn.prediction.sheet import encoded, sheet
from chanattn.runs.layout import SAMPLES
from chanattn.streams import say
from chanattn.training.run_directory import read_config


def draw_samples_of_run(workdir: str | os.PathLike[str]) -> None:
    """Draws `RUN/samples.png` of the newest checkpoint, which nothing depends on: errors are warnings."""
    if not tasks.create(read_config(Path(workdir)).task).samples:
        return
    if jax.process_count() > 1:  # one process alone cannot compute on the devices of all
        say(f"{SAMPLES} is drawn by one process alone: python eval.py --workdir={workdir}")
        return
    path = Path(workdir) / SAMPLES
    try:
        draw_samples(Predictor(workdir), path)
    except Exception as error:
        say(f"warning: {path} could not be drawn ({type(error).__name__}: {error})")


def draw_samples_of_evaluation(
    result: Mapping[str, Any], overrides: Mapping[str, Any]
) -> dict[str, str]:
    """As `draw_samples`, beside the file of an evaluation of a run.

    Args:
        result: what `chanattn.training.evaluate.evaluate_run` returned.
        overrides: config fields that it was given.
    """
    if not tasks.create(read_config(Path(result["run"])).task).samples:
        return {}
    ema = result["weights"] == "ema"
    predictor = Predictor(result["run"], step=result["step"], ema=ema, **overrides)
    file = Path(result["json"])
    return draw_samples(predictor, file.with_name(f"{file.stem}-{SAMPLES}"))


def draw_samples(predictor: Predictor, path: Path) -> dict[str, str]:
    """Draws examples of the split `dataset.eval_split`, spread over it, into a PNG.

    Args:
        predictor: the network; its config says what the data are.
        path: of the file.

    Returns:
        The path as `samples`; nothing where the task draws none.

    Raises:
        UsageError: the data are absent.
        OSError: the file cannot be written.
    """
    task, config = predictor.task, predictor.config
    if not task.samples:
        return {}
    source = data.open_source(config.dataset, config.dataset.eval_split, task.fields)
    records = _chosen(source, task.samples)
    images: list[Any] = [
        r.image if isinstance(r.image, bytes) else np.asarray(in_colours(r)) for r in records
    ]
    shown = OwnPictures(images, source.image_shape, source.class_names, keep_whole=task.placed)
    drawn = []
    for record, answer in zip(records, predictor.answers_on(shown), strict=True):
        if not isinstance(answer, Unreadable):
            drawn.append(task.draw(dict(_example(source, record)), answer))
    if not drawn:
        return {}
    picture = sheet(drawn, task.legend(predictor.class_names), task.sample_side)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, encoded(picture))
    return {"samples": str(path)}


def _chosen(source: Source, number: int) -> list[Record]:
    """Records at equal distances, for neighbours may be frames of one film."""
    number = min(number, len(source))
    found = source.read([i * len(source) // number for i in range(number)])
    return [record for record in found if isinstance(record, Record)]


def _example(source: Source, record: Record) -> Iterator[tuple[str, Any]]:
    """The picture, and the arrays of its fields in its own pixels; of captions the texts."""
    with Decoding():
        image = in_colours(record)
        yield "image", image
        size = image.shape[0], image.shape[1]
        for name, field in source.fields.items():
            if isinstance(field, Captions):
                yield name, list(field.stored(record.fields[name]))
                continue
            for suffix, part in field.load(record.fields[name], Placement(size, size)).items():
                yield name + suffix, part
