"""Imported weights are evaluated without a run directory, and give what plain numpy makes of their logits."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import parity
import pytest
from ml_collections import ConfigDict
from safetensors.numpy import save_file

from chanattn import data, models
from chanattn.errors import UsageError
from chanattn.interop import from_torch
from chanattn.report.run_pictures import draw_evaluation
from chanattn.training import evaluate_weights as program
from chanattn.training import mesh as meshes
from chanattn.training.evaluate_weights import evaluate_weights
from configs import base


@pytest.fixture
def config() -> ConfigDict:
    c = base.get_config()
    c.steps = 1
    c.batch_size = 16
    c.dataset.name = "synthetic"
    c.dataset.image_size = 8
    c.dataset.synthetic_examples = 40
    c.model.name = "resnet8"
    c.model.shortcut = "projection"
    c.model.attention.name = "simam"
    return c


@pytest.fixture
def state(golden: Path) -> dict[str, np.ndarray]:
    return dict(parity.state_dict(parity.load(golden / "nets" / "cifar_resnet8_simam.npz")))


def test_the_result_is_that_of_the_logits(
    config: ConfigDict, state: dict[str, np.ndarray], tmp_path: Path
) -> None:
    save_file(state, tmp_path / "net.safetensors")
    result = evaluate_weights(config, tmp_path / "net.safetensors", output=tmp_path / "out" / "a")
    examples = data.evaluation(config, meshes.setup(config))
    model = models.create(
        "resnet8", num_classes=10, shortcut="projection", attention={"name": "simam"}
    )
    variables = from_torch(model, state)
    apply = jax.jit(model.apply)
    right = total = 0
    for feed in examples.feeds():
        batch = examples.prepare(feed)
        logits = np.asarray(apply(variables, batch["image"])[0])
        real = np.asarray(batch["mask"]) > 0
        right += int((logits.argmax(axis=1) == np.asarray(batch["label"]))[real].sum())
        total += int(real.sum())
    assert result["examples"] == total == 40
    assert result["top1"] == right / total
    assert not result["classes_compared"]
    written = {Path(result["json"]), Path(draw_evaluation(result["json"])["picture"])}
    assert set((tmp_path / "out" / "a").iterdir()) == written
    assert all(path.name.startswith("synthetic-test-net-") for path in written)


def test_a_hubs_config_beside_the_weights_decides_whose_they_are(
    config: ConfigDict,
    state: dict[str, np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(program, "measured", lambda *_: ({}, {}))
    save_file(state, tmp_path / "model.safetensors")
    network = {"name": "resnet8", "shortcut": "projection", "attention": {"name": "simam"}}
    hub = {"architecture": "chanattn_resnet8", "chanattn": {"model": network}, "mean": [0.2] * 3}
    (tmp_path / "config.json").write_text(json.dumps(hub))
    evaluate_weights(config, tmp_path / "model.safetensors")
    told = capsys.readouterr().err
    assert "warning: " in told
    assert "has mean (0.2, 0.2, 0.2), the config (0.5, 0.5, 0.5)" in told
    for architecture, message in (
        ("resnetaa50", "are of 'resnetaa50', which is another network"),
        ("mobilenetv3_rw", "names the network of the weights: .*one of timm's .mobilenetv3.py"),
    ):
        (tmp_path / "config.json").write_text(json.dumps({"architecture": architecture}))
        with pytest.raises(UsageError, match=message):
            evaluate_weights(config, tmp_path / "model.safetensors")


def test_no_two_evaluations_share_their_files(
    config: ConfigDict,
    state: dict[str, np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = []
    monkeypatch.setattr(program, "measured", lambda *_: ({}, {}))
    monkeypatch.setattr(program, "write_result", lambda folder, name, *_: names.append(name) or {})
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        save_file(state, tmp_path / place / "net.safetensors")
    for place, changes in (
        ("a", {}),
        ("b", {}),
        ("a", {"dataset.eval_split": "test[:12]"}),
        ("a", {"dataset.eval_split": "test[12:]"}),
        ("a", {"dataset.synthetic_examples": 20}),
        ("a", {"model.zero_init_residual": False}),
    ):
        file = tmp_path / place / "net.safetensors"
        evaluate_weights(config, file, output=tmp_path / "out", **changes)
    assert len(set(names)) == 6


def test_without_a_folder_nothing_is_written(
    config: ConfigDict,
    state: dict[str, np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(program, "measured", lambda *_: ({"top1": 0.5}, {}))  # compiles for seconds
    save_file(state, tmp_path / "net.safetensors")
    assert "json" not in evaluate_weights(config, tmp_path / "net.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["net.safetensors"]


def test_numbers_that_are_not_finite_are_refused_and_nothing_is_written(
    config: ConfigDict, state: dict[str, np.ndarray], tmp_path: Path
) -> None:
    state["conv1.weight"] = state["conv1.weight"] * jnp.nan
    save_file(
        {name: np.asarray(array) for name, array in state.items()}, tmp_path / "n.safetensors"
    )
    with pytest.raises(UsageError, match=r"not finite, in 'conv1\.weight'"):
        evaluate_weights(config, tmp_path / "n.safetensors", output=tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["n.safetensors"]


def test_a_head_that_no_such_file_has_is_refused(
    config: ConfigDict, state: dict[str, np.ndarray], tmp_path: Path
) -> None:
    save_file(state, tmp_path / "net.safetensors")
    config.task.name, config.dataset.name = "segmentation", "shapes"
    config.dataset.update(image_size=32, eval_split="validation[:2%]")
    with pytest.raises(
        UsageError, match=r"no weights of the head 'fpn': .* config\.model\.init=FILE"
    ):
        evaluate_weights(config, tmp_path / "net.safetensors")
