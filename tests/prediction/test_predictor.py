"""Predictions on pictures of one's own are the answers of the evaluation on the same pictures."""

import dataclasses
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import parity
import pytest
from ml_collections import ConfigDict
from PIL import Image
from safetensors.numpy import save_file
from sklearn.datasets import load_digits

import chanattn
from chanattn import data
from chanattn.errors import UsageError
from chanattn.prediction import Predictor, Unreadable
from chanattn.runs.environment import Environment
from chanattn.tasks import Answers
from chanattn.tasks.classification import Classification
from chanattn.training.evaluate import evaluate_run
from chanattn.training.evaluate_weights import evaluate_weights
from chanattn.training.loop import train_and_evaluate
from configs import base, digits
from tests.conftest import ROOT

CLASSES = tuple(f"class {number}" for number in range(10))


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Answers]:
    """What the last evaluation answered on each example."""
    found: list[Answers] = []
    results = Classification.results

    def spy(self: Classification, totals: Any, answers: Answers, names: tuple[str, ...]) -> Any:
        found.append(answers)
        return results(self, totals, answers, names)

    monkeypatch.setattr(Classification, "results", spy)
    return lambda: found[-1]


def assert_same(told: list[dict[str, float]], answers: Answers, names: tuple[str, ...]) -> None:
    assert len(told) == len(answers["predicted"])
    first = [next(iter(each.items())) for each in told]
    assert [name for name, _ in first] == [names[label] for label in answers["predicted"]]
    np.testing.assert_allclose([share for _, share in first], answers["confidence"], atol=1e-6)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits, a few steps."""
    config = digits.get_config("identity")
    config.update(epochs=0.0, steps=30, platform="cpu", cpu_devices=1)
    config.schedule.warmup_epochs = 0.0
    config.logging.tensorboard = False
    workdir = tmp_path_factory.mktemp("runs") / "digits"
    train_and_evaluate(config, workdir)
    return workdir


def test_png_files_of_the_test_split_get_the_answers_of_its_evaluation(
    run: Path, tmp_path: Path, answered: Callable[[], Answers]
) -> None:
    evaluate_run(run)
    predictor = chanattn.Predictor(run)
    source = data.open_source(predictor.config.dataset, "test")
    pictures = [record.image for record in source.read(range(len(source)))]
    paths = [tmp_path / f"{number}.png" for number in range(len(pictures))]
    for path, picture in zip(paths, pictures, strict=True):
        cv2.imwrite(str(path), picture)
    told = predictor(paths)
    assert_same(told, answered(), predictor.class_names)
    assert len({name for each in told for name in list(each)[:1]}) > 3
    assert set(told[0]) == set(source.class_names)
    assert sum(told[0].values()) == pytest.approx(1)
    assert list(told[0].values()) == sorted(told[0].values(), reverse=True)

    # Paths, bytes, arrays in grey or colours, images of Pillow: one, some, in a list or an array.
    grey = pictures[0][..., 0]
    for one in (str(paths[0]), paths[0].read_bytes(), grey, np.stack([grey] * 3, axis=-1)):
        assert predictor(one) == pytest.approx(told[0], abs=1e-6)
    assert predictor(Image.open(paths[0]).convert("RGB")) == pytest.approx(told[0], abs=1e-6)
    some = predictor([paths[1], grey, paths[2].read_bytes()], most=2)
    assert [list(each) for each in some] == [list(told[i])[:2] for i in (1, 0, 2)]
    assert len(predictor(np.stack([np.stack([grey] * 3, axis=-1)] * 3))) == 3
    assert predictor([]) == []


def test_the_command_line_answers_and_names_what_it_cannot_read(run: Path, tmp_path: Path) -> None:
    for number in range(2):
        picture = (load_digits().images[number] * 15).astype(np.uint8)
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture)
    (tmp_path / "2.png").write_bytes(b"")
    command = (f"--workdir={run}", "--top=2", "--json=o/a.json", "--save=o", "0.png", "[12].png")
    done = subprocess.run(
        [sys.executable, ROOT / "predict.py", *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == (
        "skipped: picture 2.png cannot be read (the file is empty)\n"
        "error: 1 of 3 pictures could not be read\n"
    )
    told = json.loads((tmp_path / "o" / "a.json").read_text())
    expected = Predictor(run)([tmp_path / "0.png", tmp_path / "1.png"], most=2)
    for each, answer in zip(told["predictions"], expected, strict=True):
        assert each["answer"] == pytest.approx(answer, abs=1e-6)
        assert f"{max(answer.values()):.2%}" in done.stdout
    assert (told["step"], told["weights"], told["how"]["batch_size"]) == (30, "raw", 4)
    assert sorted(os.listdir(tmp_path / "o")) == ["0001-0.png", "0002-1.png", "a.json"]


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def photo() -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 255, (5, 6, 3), np.uint8)
    return Image.fromarray(cv2.resize(pixels, (60, 40)))


def kinds(image: Image.Image) -> Iterator[tuple[str, bytes]]:
    """The picture in each kind of file."""
    turned = Image.Exif()
    turned[0x0112] = 6
    yield "turned.jpg", encoded(image, "JPEG", exif=turned)
    yield "grey.png", encoded(image.convert("L"), "PNG")
    yield "cmyk.jpg", encoded(image.convert("CMYK"), "JPEG")
    yield "palette.png", encoded(image.convert("P"), "PNG")
    yield "alpha.png", encoded(Image.merge("RGBA", (*image.split(), image.split()[0])), "PNG")
    yield "deep.png", cv2.imencode(".png", np.asarray(image, np.uint16) * 257)[1].tobytes()
    frames = [image.convert("P"), image.rotate(90).convert("P")]
    yield "moves.gif", encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    yield "moves.webp", encoded(image, "WEBP", save_all=True, append_images=[image.rotate(90)])
    yield "large.jpg", encoded(image.resize((900, 700)), "JPEG")
    yield "exact.bmp", encoded(image.resize((12, 8)), "BMP")


@pytest.fixture
def weights(golden: Path, tmp_path: Path) -> Path:
    """Those of a ResNet-8 with ten classes."""
    state = parity.state_dict(parity.load(golden / "nets" / "cifar_resnet8_simam.npz"))
    save_file(dict(state), tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


@pytest.fixture
def config() -> ConfigDict:
    c = base.get_config()
    c.update(steps=1, batch_size=16, platform="cpu")
    c.dataset.name = "folder"
    c.dataset.image_size = (8, 12)
    c.model.name = "resnet8"
    c.model.shortcut = "projection"
    c.model.attention.name = "simam"
    return c


def test_pictures_of_all_kinds_and_sizes_are_prepared_as_by_the_evaluation(
    config: ConfigDict, weights: Path, tmp_path: Path, answered: Callable[[], Answers]
) -> None:
    files = []
    for number, (name, content) in enumerate(kinds(photo())):
        files.append(tmp_path / "D" / "test" / CLASSES[number] / name)
        files[-1].parent.mkdir(parents=True)
        files[-1].write_bytes(content)
    config.dataset.data_dir = str(tmp_path / "D")
    evaluate_weights(config, weights)
    predictor = Predictor.from_weights(config, weights)
    told = predictor(files)
    assert_same(told, answered(), CLASSES)
    assert len({tuple(each.values()) for each in told}) >= 8  # the network tells them apart

    # As training and evaluation do, it takes a photograph as stored, and not as its EXIF data turn it.
    plain = encoded(photo(), "JPEG")
    assert predictor(plain) == pytest.approx(told[0], abs=1e-6)

    # Without the data set, and with the names said: the same.
    shutil.rmtree(tmp_path / "D")
    alone = Predictor.from_weights(config, weights, class_names=CLASSES)
    assert alone(plain) == pytest.approx(told[0], abs=1e-6)
    with pytest.raises(UsageError, match=r"names of the classes.* unknown.*no folder .*D/test"):
        Predictor.from_weights(config, weights)
    alike = Predictor.from_weights(config, weights, class_names=["a", "b", *CLASSES[2:9], "a"])
    assert alike.class_names == ("a (0)", "b", *CLASSES[2:9], "a (9)")


def test_what_its_pictures_are_like_a_run_records_or_its_data_set_tells(
    run: Path, tmp_path: Path
) -> None:
    environment = Environment.read(run)
    assert environment is not None
    assert environment.image_shape == (8, 8, 1)
    older = tmp_path / "RUN"
    shutil.copytree(run, older)
    dataclasses.replace(environment, image_shape=None).write(older)  # as earlier versions wrote it
    picture = np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)
    told = Predictor(run)(picture)
    assert Predictor(older)(picture) == told
    config = json.loads((older / "config.json").read_text())
    config["dataset"] |= {"name": "folder", "data_dir": str(tmp_path / "D")}
    (older / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match=r"environment.json does not say.*no folder .*D/test"):
        Predictor(older)
    environment.write(older)
    assert Predictor(older)(picture) == told


def test_what_is_no_picture_is_refused_and_what_cannot_be_read_is_passed_over(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor(run)
    grey = (load_digits().images[0] * 15).astype(np.uint8)
    broken = cv2.imencode(".png", grey)[1].tobytes()[:-20]
    with pytest.raises(Unreadable, match=r"^picture number 1 cannot be read \(the file ends too"):
        predictor([grey, broken])
    found = list(predictor.answers([broken, grey, tmp_path / "absent.png", grey]))
    assert [isinstance(each, Unreadable) for each in found] == [True, False, True, False]
    assert str(found[2]) == (
        f"picture {tmp_path}/absent.png cannot be read (No such file or directory)"
    )
    for wrong in (np.zeros((8, 8, 3)), np.zeros((8, 8, 4), np.uint8), np.zeros(3, np.uint8)):
        with pytest.raises(UsageError, match=r"give \(H, W, 3\) uint8 in RGB"):
            predictor(wrong)
    monkeypatch.delattr(Classification, "predict")
    with pytest.raises(UsageError, match="the task Classification cannot predict on pictures"):
        Predictor(run)(grey)


def test_the_package_imports_it_when_it_is_asked_for() -> None:
    code = "import sys, chanattn; print('jax' in sys.modules, 'Predictor' in chanattn.__all__)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False True\n"
    with pytest.raises(AttributeError, match="no attribute 'predictor'"):
        chanattn.predictor  # noqa: B018
