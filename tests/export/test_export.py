"""Exports of a trained network: other programs get the weights, the classes and how they were made."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from safetensors import safe_open
from small_runs import config_of

from chanattn import checkpoint_flags, models
from chanattn.errors import UsageError
from chanattn.export import onnx, stablehlo, timm_folder
from chanattn.export.trained import Trained, read
from chanattn.interop import from_torch, read_weights
from chanattn.interop.timm_networks import timm_name
from chanattn.training.loop import train_and_evaluate
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two steps, with moving averages."""
    workdir = tmp_path_factory.mktemp("runs") / "small"
    train_and_evaluate(config_of(steps=2), workdir)
    return workdir


@pytest.fixture(scope="module")
def trained(run: Path) -> Trained:
    return read(run)


def export(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "chanattn.export", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_commands_of_the_page_work(run: Path) -> None:
    page = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
    (commands,) = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    needed = {"export": "flatbuffers", "onnx": "jax2onnx"}
    has = {extra: importlib.util.find_spec(name) is not None for extra, name in needed.items()}
    for command in commands.splitlines():
        program, _, arguments = command.partition(" runs/cifar10-se")
        assert program == "python -m chanattn.export"
        given = arguments.replace("--output=exported", f"--output={run / 'exported'}").split()
        done = export(run, *given)
        extra = {"stablehlo": "export", "onnx": "onnx"}.get(command.rpartition("=")[2], "")
        refused = bool(extra) and not has[extra]
        assert done.returncode == (2 if refused else 0), done.stderr
        assert not refused or done.stderr.endswith(f"pip install -e '.[{extra}]'\n")
    assert {path.name for path in (run / "exported").iterdir()} == {
        timm_folder.WEIGHTS,
        timm_folder.CONFIG,
    }


def test_the_command_writes_weights_that_come_back_and_says_how(
    run: Path, trained: Trained
) -> None:
    done = export(run, "--step=best", "--raw")
    assert done.returncode == 0, done.stderr
    weights, config = run / "export" / "model.safetensors", run / "export" / "config.json"
    assert done.stdout == f"wrote {weights}\nwrote {config}\n"
    raw = read(run, ema=False)
    back = flatten_dict(from_torch(raw.model, read_weights(weights), image_size=8), sep="/")
    expected = flatten_dict(raw.variables, sep="/")
    assert back.keys() == expected.keys()
    for path, array in expected.items():
        np.testing.assert_array_equal(back[path], array)
    averaged = flatten_dict(trained.variables, sep="/")
    assert any(not np.array_equal(averaged[path], expected[path]) for path in expected)

    told = json.loads(config.read_text())
    assert told["architecture"] == "chanattn_resnet8"
    assert "no network of timm's" in told["note"]
    assert told["num_classes"] == len(told["pretrained_cfg"]["label_names"]) == 10
    assert told["pretrained_cfg"]["input_size"] == [3, 8, 8]
    made = told["chanattn"]
    assert (made["run"], made["step"], made["weights"]) == ("small", 2, "raw")
    assert "--step=best" in made["command"]
    assert made["versions"]["jax"] == jax.__version__
    with safe_open(weights, "np") as file:
        assert json.loads(file.metadata()["chanattn"])["step"] == 2


@pytest.mark.parametrize(
    ("row", "attention", "name"),
    [
        ("resnet18", None, "resnet18"),
        ("resnet50", {"name": "se", "rounding": "timm", "reduction": 16}, "seresnet50"),
        ("resnet50", "se", None),
        ("resnet50", {"name": "se", "rounding": "timm", "stages": (3, 4)}, None),
        ("legacy_resnet50", "se", "legacy_seresnet50"),
        ("resnest14d", None, "resnest14d"),
        ("resnet33ts", {"name": "gc", "preset": "timm", "placement": "mid"}, "gcresnet33ts"),
        ("vovnet39b", "ese", "ese_vovnet39b"),
        ("resnet20", None, None),
    ],
)
def test_a_network_has_timms_name_only_with_the_attention_that_it_implies(
    row: str, attention: object, name: str | None
) -> None:
    assert timm_name(models.create(row, num_classes=3, dropout=0.1, attention=attention)) == name


def test_bad_input_gets_one_line_and_nothing_is_written(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no run"):
        read(tmp_path)
    with pytest.raises(UsageError, match="no checkpoint of step 7; there are: 2"):
        read(run, step=7)
    with pytest.raises(UsageError, match="--step must be a number or best, not 'last'"):
        checkpoint_flags.step_of("last")
    blocked = tmp_path / "file"
    blocked.write_text("")
    done = export(run, f"--output={blocked / 'out'}")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "is a file; choose another --output" in done.stderr
    assert list(tmp_path.iterdir()) == [blocked]


def test_a_mechanism_without_names_is_refused(trained: Trained) -> None:
    model = models.create("resnet8", num_classes=10, attention="channel")
    other = Trained(**vars(trained) | {"model": model})
    with pytest.raises(UsageError, match="no PyTorch names are known for attention 'channel'"):
        timm_folder.files(other)


RELOAD = """
import json, sys
import jax, numpy as np
folder = sys.argv[1]
program = jax.export.deserialize(bytearray(open(f"{folder}/model.stablehlo", "rb").read()))
images = np.load(f"{folder}/images.npy")
np.savez(f"{folder}/logits.npz", one=program.call(images[:1]), all=program.call(images))
assert not {"chanattn", "flax"} & {name.split(".")[0] for name in sys.modules}
"""


def test_the_program_runs_where_there_is_jax_alone(trained: Trained, tmp_path: Path) -> None:
    pytest.importorskip("flatbuffers", reason="flatbuffers is not installed")
    for name, content in stablehlo.files(trained).items():
        (tmp_path / name).write_bytes(content)
    images = np.random.default_rng(0).uniform(size=(3, 8, 8, 3)).astype(np.float32)
    np.save(tmp_path / "images.npy", images)
    command = [sys.executable, "-c", RELOAD, str(tmp_path)]
    subprocess.run(command, check=True, cwd=tmp_path)
    dataset = trained.config.dataset
    x = (images - np.float32(dataset.mean)) / np.float32(dataset.std)
    logits = np.asarray(jax.jit(trained.model.apply)(trained.variables, x)[0])
    with np.load(tmp_path / "logits.npz") as found:
        np.testing.assert_allclose(found["all"], logits, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found["one"], logits[:1], rtol=1e-5, atol=1e-6)
    told = json.loads((tmp_path / "model.json").read_text())
    assert told["inputs"]["images"] == ["batch", 8, 8, 3]
    assert told["chanattn"]["weights"] == "ema"


def test_outputs_of_a_detector_need_no_class_of_this_package(trained: Trained) -> None:
    pytest.importorskip("flatbuffers", reason="flatbuffers is not installed")
    options = {"levels": (2, 4), "tower": 1, "norm_groups": 4}
    model = models.create("resnet8", num_classes=3, head="fcos", head_width=8, head_options=options)
    variables = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 8, 8, 3), np.float32))
    variables = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), dict(variables))
    detector = Trained(**vars(trained) | {"model": model, "variables": variables})
    program = jax.export.deserialize(bytearray(stablehlo.files(detector)[stablehlo.PROGRAM]))
    found = program.call(np.zeros((2, 8, 8, 3), np.float32))
    assert [x.shape for x in found["distances"]] == [(2, 4, 4, 4), (2, 2, 2, 4)]
    assert found.keys() == {"logits", "distances", "centerness"}


@pytest.fixture
def with_network(trained: Trained) -> Any:
    """Makes an export of another network with random weights."""
    pytest.importorskip("jax2onnx", reason="jax2onnx is not installed")

    def make(row: str, size: int, **options: Any) -> Trained:
        model = models.create(row, num_classes=10, zero_init_residual=False, **options)
        image = jax.ShapeDtypeStruct((1, size, size, 3), np.float32)
        rng = np.random.default_rng(0)

        def draw(path: Any, leaf: Any) -> np.ndarray:
            values = rng.normal(size=leaf.shape).astype(np.float32)
            if path[-1].key in ("var", "scale"):
                return abs(values) / 5 + np.float32(0.8)
            return values / np.sqrt(max(np.prod(leaf.shape[:-1]), 1), dtype=np.float32)

        shapes = dict(jax.eval_shape(model.init, jax.random.key(0), image))
        variables = jax.tree_util.tree_map_with_path(draw, shapes)
        changed = {"model": model, "variables": variables, "image_size": (size, size)}
        return Trained(**vars(trained) | changed)

    return make


@pytest.mark.parametrize(
    ("row", "size", "attention"),
    [("resnet8", 8, "eca"), ("resnet8", 8, "cbam"), ("resnet8", 8, "sk"), ("resnet18", 32, "se")],
)
def test_an_onnx_model_computes_what_the_network_does(
    with_network: Any, row: str, size: int, attention: str
) -> None:
    import onnxruntime

    given = with_network(row, size, attention=attention)
    written = onnx.files(given)
    session = onnxruntime.InferenceSession(written[onnx.MODEL])
    images = np.random.default_rng(1).uniform(size=(3, size, size, 3)).astype(np.float32)
    (logits,) = session.run(["logits"], {"images": images})
    dataset = given.config.dataset
    x = (images - np.float32(dataset.mean)) / np.float32(dataset.std)
    expected = np.asarray(jax.jit(given.model.apply)(given.variables, x)[0])
    assert np.abs(logits - expected).max() < 1e-5 * np.abs(expected).max()
    assert json.loads(written[onnx.CONFIG])["inputs"]["images"] == ["batch", size, size, 3]


def test_what_jax2onnx_does_not_know_is_refused_in_a_line(with_network: Any) -> None:
    with pytest.raises(UsageError, match="jax2onnx cannot translate .*single axis") as refusal:
        onnx.files(with_network("resnet8", 8, attention="gc"))
    assert "\n" not in str(refusal.value)


def test_a_wrong_translation_is_not_written() -> None:
    with pytest.raises(UsageError, match="computes something else"):
        onnx._check([np.ones(3)], [np.full(3, 1.001)])
    with pytest.raises(UsageError, match="computes something else"):
        onnx._check([np.full(3, np.nan)], [np.ones(3)])
    onnx._check([np.ones(3)], [np.ones(3)])
