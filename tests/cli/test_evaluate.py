"""Evaluation of a run directory: equals plain numpy, whatever the batch size; checks what it is given."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from sklearn.datasets import load_digits

from chanattn import data, models
from chanattn.data.placement import replicated
from chanattn.errors import UsageError
from chanattn.report.evaluation_table import show
from chanattn.report.run_pictures import draw_evaluation
from chanattn.training import mesh as meshes
from chanattn.training.checkpoint import Checkpoints
from chanattn.training.evaluate import evaluate_run
from chanattn.training.loop import train_and_evaluate
from chanattn.training.run_directory import read_config
from chanattn.training.views import Views
from configs import digits


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run with moving averages."""
    config = digits.get_config("identity")
    config.epochs = 2.0
    config.schedule.warmup_epochs = 0.0
    config.ema.decay = 0.9
    config.logging.tensorboard = False
    workdir = tmp_path_factory.mktemp("runs") / "digits"
    train_and_evaluate(config, workdir)
    return workdir


@pytest.fixture(scope="module")
def result(run: Path) -> dict[str, Any]:
    """The evaluation as it is by default."""
    return evaluate_run(run)


def by_numpy(run: Path, *, ema: bool) -> dict[str, float]:
    """Loss and accuracies of the newest checkpoint, from logits of the whole split at once."""
    config: ConfigDict = read_config(run)
    mesh = meshes.setup(config)
    images, labels = [], []
    examples = data.evaluation(config, mesh)
    for feed in examples.feeds():
        real = np.asarray(feed["mask"]) > 0
        images.append(np.asarray(feed["image"])[real])
        labels.append(np.asarray(feed["label"])[real])
    x, label = np.concatenate(images) / np.float32(255), np.concatenate(labels)
    x = (np.broadcast_to(x, (*x.shape[:3], 3)) - config.dataset.mean) / config.dataset.std
    model = models.from_config(config.model, 10, "float32", "float32")
    template = jax.eval_shape(model.init, jax.random.key(0), x[:1].astype(np.float32))
    place = replicated(mesh)
    template = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
        {name: template[name] for name in ("params", "batch_stats")},
    )
    with Checkpoints(run / "checkpoints", read_only=True) as checkpoints:
        weights = checkpoints.restore_weights(checkpoints.latest(), template, ema=ema)
    logits = np.asarray(model.apply(weights, x.astype(np.float32))[0], np.float64)
    probability = np.exp(logits - logits.max(1, keepdims=True))
    probability /= probability.sum(1, keepdims=True)
    true = probability[np.arange(len(label)), label]
    rank = (probability > true[:, None]).sum(1)
    return {
        "examples": len(label),
        "loss": -np.log(true).mean(),
        "top1": (rank < 1).mean(),
        "top5": (rank < 5).mean(),
    }


@pytest.mark.parametrize(("batch_size", "ema"), [(1000, False), (7, True)])
def test_equals_numpy_whatever_the_batch_size(run: Path, batch_size: int, ema: bool) -> None:
    expected = by_numpy(run, ema=ema)
    assert 0.1 < expected["top1"] < 1.0
    result = evaluate_run(run, ema=ema, **{"batch_size": batch_size})
    assert result["examples"] == expected["examples"]
    assert result["loss"] == pytest.approx(expected["loss"], rel=1e-4)
    assert result["top1"] == pytest.approx(expected["top1"])
    assert result["top5"] == pytest.approx(expected["top5"])
    assert np.sum(result["confusion_matrix"]) == result["examples"]


def test_training_split_is_counted_whole(run: Path, result: dict[str, Any]) -> None:
    train = evaluate_run(run, **{"dataset.eval_split": "train"})
    assert train["examples"] + result["examples"] == len(load_digits().target)


def test_averages_are_the_default_where_there_are_some(result: dict[str, Any]) -> None:
    assert result["weights"] == "ema"


def test_json_says_how_it_was_made_and_the_picture_lies_beside_it(result: dict[str, Any]) -> None:
    written = json.loads(Path(result["json"]).read_text())
    assert Path(result["json"]).name == "digits-test-step44-ema.json"
    assert written["top1"] == result["top1"]
    assert written["how"]["batch_size"] == 64
    assert written["images_per_second"] > 0
    picture = Path(draw_evaluation(result["json"])["picture"])
    assert picture == Path(result["json"]).with_suffix(".png")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_table_shows_the_numbers(result: dict[str, Any], capsys: pytest.CaptureFixture) -> None:
    show(result)
    printed = capsys.readouterr().out
    assert f"{result['top1']:.2%}" in printed
    assert f"{result['expected_calibration_error']:.2%}" in printed


def test_what_has_no_class_is_counted_below_the_table(
    result: dict[str, Any], capsys: pytest.CaptureFixture
) -> None:
    show(result | {"void_pictures": 0})
    assert "no pixel" not in capsys.readouterr().out
    show(result | {"void_pictures": 1234})
    assert "1,234 pictures have no pixel with a class" in capsys.readouterr().out


def test_absent_step_is_refused_with_those_that_exist(run: Path) -> None:
    with pytest.raises(UsageError, match=r"no checkpoint of step 3; there are: .*44"):
        evaluate_run(run, step=3)


def test_place_without_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no run"):
        evaluate_run(tmp_path)


def test_data_set_with_other_classes_is_refused(run: Path) -> None:
    with pytest.raises(UsageError, match="synthetic test has other classes"):
        evaluate_run(run, **{"dataset.name": "synthetic"})


def test_number_of_classes_must_match(run: Path) -> None:
    with pytest.raises(UsageError, match="classes"):
        evaluate_run(run, **{"dataset.name": "synthetic", "dataset.synthetic_classes": 7})


def test_mirrored_and_scaled_pictures_make_another_evaluation(
    run: Path, result: dict[str, Any], capsys: pytest.CaptureFixture
) -> None:
    found = evaluate_run(run, views=Views(flip=True, scales=(1.0, 1.5)))
    assert found["json"] == result["json"].replace(".json", "-flip-scales1_1.5.json")
    assert (found["how"]["flip"], found["how"]["scales"]) == (True, [1.0, 1.5])
    assert found["examples"] == result["examples"]
    assert found["loss"] != result["loss"]
    show(found)
    assert "mirrored too, scales 1 1.5" in " ".join(capsys.readouterr().out.split())
