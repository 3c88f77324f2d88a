"""Captions of one's own pictures, as a table, as JSON and drawn; and what a run of them cannot do."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chanattn import data
from chanattn.errors import UsageError
from chanattn.export.trained import read
from chanattn.prediction import Predictor, output
from chanattn.prediction.samples import draw_samples_of_evaluation, draw_samples_of_run
from chanattn.report.evaluation_table import show
from chanattn.report.run_pictures import draw_evaluation
from chanattn.tasks import caption_pictures
from chanattn.training.evaluate import evaluate_run
from chanattn.training.loop import train_and_evaluate
from chanattn.training.views import Views
from configs import shapes_captioning

SPLIT = {"dataset.eval_split": "validation[:2%]"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One step of a small network."""
    config = shapes_captioning.get_config()
    config.update(epochs=0.0, steps=1, batch_size=4, platform="cpu", cpu_devices=1)
    config.update(eval_every=1, log_every=1, checkpoint_every=1)
    config.dataset.update(split="train[:1%]", eval_split=SPLIT["dataset.eval_split"], image_size=32)
    config.task.update(attention_width=8, embedding=8, longest=5)
    config.model.update(name="resnet8", head_width=8)
    config.schedule.warmup_epochs = 0.0
    config.logging.tensorboard = False
    workdir = tmp_path_factory.mktemp("runs") / "told"
    train_and_evaluate(config, workdir)
    return workdir


@pytest.fixture(scope="module")
def predictor(run: Path) -> Predictor:
    return Predictor(run)


def test_captions_of_the_split_are_those_of_its_evaluation_and_are_drawn_with_their_references(
    run: Path,
    predictor: Predictor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    result = evaluate_run(run, **SPLIT)
    exported = [path for path in result["exports"] if path.endswith(".captions.json")]
    evaluated = [each["caption"] for each in json.loads(Path(exported[0]).read_text())]
    source = data.open_source(predictor.config.dataset, SPLIT["dataset.eval_split"], ("captions",))
    records = source.read(range(len(source)))
    files = [tmp_path / f"{number}.png" for number in range(len(records))]
    for file, record in zip(files, records, strict=True):
        Image.fromarray(record.image).save(file)
    output.predict(predictor, files, json=tmp_path / "a.json", save=tmp_path / "out")
    told = [each["answer"] for each in json.loads((tmp_path / "a.json").read_text())["predictions"]]
    assert [each["caption"] for each in told] == evaluated
    assert all(set(each) == {"caption", "log_p", "words"} for each in told)
    assert "log p" in capsys.readouterr().out
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"all.captions.json", *(f"{n + 1:04}-{n}.png" for n in range(len(files)))}

    drawn = []
    draw = caption_pictures.draw
    monkeypatch.setattr(
        caption_pictures, "draw", lambda example, told: drawn.append(example) or draw(example, told)
    )
    pictures = draw_evaluation(result["json"]) | draw_samples_of_evaluation(result, SPLIT)
    name = Path(result["json"]).stem
    assert {kind: Path(path).name for kind, path in pictures.items()} == {
        "bars": f"{name}-classes.png",
        "samples": f"{name}-samples.png",
    }
    assert drawn[0]["captions"] == list(source.captions_of(0))
    show(result | pictures | {"pictures_without_captions": 3})
    printed = capsys.readouterr().out
    assert "right words by group" in printed
    assert "3 pictures have no caption, and are in no figure" in printed
    draw_samples_of_run(run)
    assert (run / "samples.png").stat().st_size > 1000


def test_a_picture_of_another_shape_is_cropped_and_its_attention_lies_on_that_part(
    predictor: Predictor,
) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 100, 3), np.uint8)
    told = predictor(picture)
    np.testing.assert_allclose(told["part"], [30, 0, 70, 40], atol=1e-6)
    assert told["caption"] == " ".join(told["words"])
    np.testing.assert_allclose(told["looked"].sum(axis=(1, 2)), 1, rtol=1e-5)
    assert predictor.draw(picture, told).shape[1] > caption_pictures.SIDE


def test_what_captions_have_none_of_is_refused_in_one_line(run: Path, predictor: Predictor) -> None:
    with pytest.raises(UsageError, match=r"^one caption is told .*: leave --top \(most\) out$"):
        predictor(np.zeros((32, 32, 3), np.uint8), 3)
    with pytest.raises(UsageError, match=r"cannot evaluate with --flip and --scales: leave them"):
        Views(flip=True).check(predictor.task)
    with pytest.raises(UsageError, match=r"--window is for answers on every pixel; .*leave it"):
        Views(window=(8, 8)).check(predictor.task)
    with pytest.raises(UsageError, match=r"writes captions word by word, .*: use predict\.py"):
        read(run)
