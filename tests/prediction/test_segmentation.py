"""Label maps of one's own pictures are those of the evaluation, and come back at the size of the picture."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chanattn import data
from chanattn.prediction import Predictor, output
from chanattn.prediction.samples import draw_samples_of_evaluation, draw_samples_of_run
from chanattn.report.run_pictures import draw_evaluation
from chanattn.training.evaluate import evaluate_run
from chanattn.training.loop import train_and_evaluate
from configs import shapes_segmentation

SPLIT = {"dataset.eval_split": "validation[:8%]"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two steps of a small network."""
    config = shapes_segmentation.get_config("identity")
    config.update(epochs=0.0, steps=2, batch_size=8, platform="cpu", cpu_devices=1)
    config.update(eval_every=2, log_every=2, checkpoint_every=2)
    config.dataset.eval_split = SPLIT["dataset.eval_split"]
    config.dataset.image_size = 32
    config.task.class_weights = "none"
    config.model.name = "resnet8"
    config.model.head_width = 32
    config.schedule.warmup_epochs = 0.0
    config.logging.tensorboard = False
    workdir = tmp_path_factory.mktemp("runs") / "shapes"
    train_and_evaluate(config, workdir)
    return workdir


@pytest.fixture(scope="module")
def predictor(run: Path) -> Predictor:
    return Predictor(run)


def test_label_maps_of_the_split_give_the_confusion_matrix_of_its_evaluation(
    run: Path, predictor: Predictor, tmp_path: Path
) -> None:
    result = evaluate_run(run, **SPLIT)
    source = data.open_source(predictor.config.dataset, SPLIT["dataset.eval_split"], ("label_map",))
    records = source.read(range(len(source)))
    files = [tmp_path / f"{number}.png" for number in range(len(records))]
    for file, record in zip(files, records, strict=True):
        Image.fromarray(record.image).save(file)
    output.predict(predictor, files, top=9, json=tmp_path / "a.json", save=tmp_path / "out")
    told = json.loads((tmp_path / "a.json").read_text())["predictions"]
    counts = np.zeros((6, 6), np.int64)
    for number, record in enumerate(records):
        image = Image.open(tmp_path / "out" / f"{number + 1:04}-{number}.labels.png")
        assert image.mode == "P"
        predicted = np.asarray(image)
        label = record.fields["label_map"]
        known = label != 255
        np.add.at(counts, (label[known], predicted[known]), 1)
        shares = told[number]["answer"]["shares"]
        for place, name in enumerate(predictor.class_names):
            assert shares[name] == pytest.approx((predicted == place).mean())
    assert counts.tolist() == result["confusion_matrix"]
    assert (counts.sum(axis=0) > 0).sum() > 1  # the network tells pixels apart
    assert (tmp_path / "out" / "0001-0.png").stat().st_size > 1000

    pictures = draw_evaluation(result["json"]) | draw_samples_of_evaluation(result, SPLIT)
    name = Path(result["json"]).stem
    assert [Path(path).name for path in pictures.values()] == [
        f"{name}.png",
        f"{name}-classes.png",
        f"{name}-samples.png",
    ]
    assert all(Path(path).stat().st_size > 1000 for path in pictures.values())


def test_pictures_of_all_sizes_come_back_at_theirs_by_one_program(predictor: Predictor) -> None:
    rng = np.random.default_rng(0)
    shapes = [(32, 32), (64, 50), (9, 70), (1, 1)]
    pictures = [rng.integers(0, 255, (*shape, 3), np.uint8) for shape in shapes]
    before = predictor._program._cache_size()
    told = predictor(pictures)
    assert [each["label_map"].shape for each in told] == shapes
    assert predictor._program._cache_size() == before + 1
    # Twice as large by whole pixels, and averaged back: the network sees the same.
    large = predictor(pictures[0].repeat(2, axis=0).repeat(2, axis=1))["label_map"]
    alone = predictor(pictures[0])["label_map"]
    assert (large[::2, ::2] == alone).mean() > 0.8
    assert predictor.draw(pictures[1], told[1]).ndim == 3


def test_a_run_shows_samples_and_what_goes_wrong_is_a_warning(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_samples_of_run(run)
    height, width = np.asarray(Image.open(run / "samples.png")).shape[:2]
    assert (height > 8 * 256, width) == (True, 3 * 256 + 2 * 6)

    def absent(*_: object) -> None:
        raise OSError("no disk")

    monkeypatch.setattr("chanattn.prediction.samples.write_bytes", absent)
    draw_samples_of_run(run)
    assert "samples.png could not be drawn (OSError: no disk)" in capsys.readouterr().err
