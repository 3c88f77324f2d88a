"""`model.init`: a run begins with other weights, and needs them no more afterwards."""

import json
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import parity
import pytest
from ml_collections import ConfigDict
from safetensors.numpy import save_file

from chanattn import models, tasks
from chanattn.data.placement import AXIS
from chanattn.errors import UsageError
from chanattn.interop.partial import fit
from chanattn.runs.environment import Environment
from chanattn.sweep.check import check
from chanattn.sweep.grid import Sweep
from chanattn.training import initial
from chanattn.training.checkpoint import Checkpoints
from chanattn.training.evaluate import evaluate_run
from chanattn.training.experiment import Experiment
from chanattn.training.loop import train_and_evaluate
from configs import base

SIMAM = {"shortcut": "projection", "attention": "simam"}


def tiny(**model: object) -> ConfigDict:
    """Two steps of ResNet-8 with SimAM on random pictures of ten classes."""
    c = base.get_config()
    c.steps = 2
    c.batch_size = 8
    c.eval_every = c.checkpoint_every = c.log_every = 1
    c.platform = "cpu"
    c.cpu_devices = 1
    c.kernels = "xla"
    c.dataset.name = "synthetic"
    c.dataset.image_size = 8
    c.dataset.synthetic_examples = 16
    c.model.name = "resnet8"
    c.model.shortcut = "projection"
    c.model.attention.name = "simam"
    c.logging.tensorboard = False
    c.model.update(model)
    return c


@pytest.fixture(scope="module")
def net(golden: Path) -> parity.Arrays:
    """Whole network of the authors of SimAM, with pictures and logits."""
    return parity.load(golden / "nets" / "cifar_resnet8_simam.npz")


@pytest.fixture(scope="module")
def state(net: parity.Arrays) -> dict[str, np.ndarray]:
    return dict(parity.state_dict(net))


@pytest.fixture(scope="module")
def arrays(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    model = models.create("resnet8", num_classes=10, **SIMAM)  # type: ignore[arg-type]
    return fit(model, state, image_size=(8, 8)).loaded


def begun(config: ConfigDict) -> tuple[Experiment, dict]:
    experiment = Experiment.build(config, initial.read)
    return experiment, jax.device_get(experiment.create_state())


def flat(weights: object) -> dict[str, np.ndarray]:
    leaves = jax.tree_util.tree_leaves_with_path(weights)
    return {jax.tree_util.keystr(p, simple=True, separator="/"): leaf for p, leaf in leaves}


@pytest.mark.parametrize("wrap", ["", "module.", "state_dict_ema.module."])
def test_the_first_step_begins_from_the_network_of_the_file(wrap, net, state, tmp_path):
    save_file({wrap + name: array for name, array in state.items()}, tmp_path / "net.safetensors")
    experiment, first = begun(tiny(init=str(tmp_path / "net.safetensors")))
    logits, _ = jax.jit(experiment.model.apply)(first.weights, net["images"])
    np.testing.assert_allclose(logits, net["logits"], rtol=1e-4, atol=1e-5)
    record = experiment.initial.record
    assert record.fresh == ()
    assert [part.name for part in record.parts] == ["stem", "stage1", "stage2", "stage3", "head"]
    assert sum(part.loaded for part in record.parts) == sum(
        leaf.size for leaf in jax.tree.leaves(first.params)
    )
    assert len(record.sha256) == 64


def test_averages_begin_with_the_same_and_types_are_those_of_the_run(state, arrays, tmp_path):
    half = {n: a.astype(np.float16) if a.dtype == np.float32 else a for n, a in state.items()}
    save_file(half, tmp_path / "net.safetensors")
    config = tiny(init=str(tmp_path / "net.safetensors"))
    config.ema.decay, config.param_dtype = 0.9, "bfloat16"
    experiment, first = begun(config)
    for path, array in flat(first.weights).items():
        wanted = arrays[path].astype(np.float16)
        assert array.dtype == (jnp.bfloat16 if path.startswith("params") else np.float32)
        np.testing.assert_array_equal(array, wanted.astype(array.dtype), err_msg=path)
        np.testing.assert_array_equal(flat(first.ema)[path], wanted.astype(np.float32))
    like = experiment.abstract_state()
    assert jax.tree.all(jax.tree.map(lambda a, b: a.shape == b.shape, first, like))


def test_what_is_not_loaded_is_what_it_would_have_been(state, tmp_path):
    """Classifier of other classes and added attention; as many numbers are drawn as without a file."""
    save_file(state, tmp_path / "net.safetensors")
    config = tiny()
    config.model.attention.name = "se"
    config.dataset.synthetic_classes = 7
    drawn = flat(jax.device_get(Experiment.build(config).create_state()).weights)
    config.model.init = str(tmp_path / "net.safetensors")
    experiment, first = begun(config)
    fresh = set(experiment.initial.record.fresh)
    assert {path.split("/")[0] for path in fresh} == {
        *("stage1_block1", "stage2_block1", "stage3_block1", "classifier")
    }
    for path, array in flat(first.weights).items():
        new = path.removeprefix("params/") in fresh
        assert np.array_equal(array, drawn[path]) >= new, path
        assert ("attention" in path or "classifier" in path) == new
    lines = list(experiment.initial.record.lines())
    assert lines[0] == f"model.init: {config.model.init}"
    assert lines[-1].endswith("455 at their initialisation: for 10 classes there, 7 here")
    assert lines[2].endswith("at their initialisation: attention not in the weights")


def test_where_a_hub_disagrees_with_the_config_is_told(state, tmp_path):
    save_file(state, tmp_path / "model.safetensors")
    told = {"architecture": "chanattn_resnet8", "mean": [0.4, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    model = tiny().model.to_dict()
    told |= {"interpolation": "bicubic", "chanattn": {"model": model}}
    (tmp_path / "config.json").write_text(json.dumps(told))
    experiment, _ = begun(tiny(init=str(tmp_path)))
    mean, interpolation = experiment.initial.record.notes
    assert mean.endswith("has mean (0.4, 0.5, 0.5), the config (0.5, 0.5, 0.5)")
    assert interpolation.endswith("has interpolation bicubic, the config bilinear")
    told["chanattn"]["model"]["shortcut"] = "avg_pool"
    (tmp_path / "config.json").write_text(json.dumps(told))
    with pytest.raises(UsageError, match="another network than this one"):
        begun(tiny(init=str(tmp_path)))
    experiment, _ = begun(tiny(init=str(tmp_path), init_strict=False))
    assert "another network" in experiment.initial.record.notes[0]


def test_a_backbone_is_the_same_network_under_the_heads_of_other_tasks():
    """Of a run of segmentation with a width of its head, for a detector with levels of its own."""
    theirs, ours = tiny(head_width=32), tiny(head_width=8)
    theirs.task.name, ours.task.name = "segmentation", "detection"
    ours.task.update(strides=(2, 4), ranges=(16.0,), norm_groups=4)
    model = tasks.network(ours, 3)
    assert initial._other(Path("run"), theirs, model) is None
    theirs.model.shortcut = "avg_pool"
    assert "with model.shortcut=avg_pool" in initial._other(Path("run"), theirs, model)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A run with averages, and a checkpoint of each of its two steps."""
    run = tmp_path_factory.mktemp("source") / "run"
    config = tiny()
    config.ema.decay, config.checkpoint.keep = 0.5, 2
    train_and_evaluate(config, run)
    return run


@pytest.mark.parametrize(
    ("which", "step", "part"),
    [
        ("", 2, "ema"),
        ("@newest", 2, "ema"),
        ("@1", 1, "ema"),
        ("@raw", 2, "weights"),
        ("@1,raw", 1, "weights"),
        ("@best,ema", None, "ema"),
    ],
)
def test_a_run_gives_the_weights_of_the_step_that_is_asked_for(which, step, part, source):
    experiment, first = begun(tiny(init=f"{source}{which}"))
    record = experiment.initial.record
    assert record.step == step or (step is None and record.step in (1, 2))
    assert record.weights == {"ema": "ema", "weights": "raw"}[part]
    with Checkpoints(source / "checkpoints", read_only=True) as checkpoints:
        template = experiment.abstract_state().weights
        wanted = checkpoints.restore_weights(record.step, template, ema=part == "ema")
    assert jax.tree.all(jax.tree.map(np.array_equal, first.weights, jax.device_get(wanted)))


def test_a_run_on_other_classes_gives_no_classifier(source, tmp_path):
    run = shutil.copytree(source, tmp_path / "run")
    names = json.loads((run / "classes.json").read_text())["names"]
    (run / "classes.json").write_text(json.dumps({"names": ["cat", *names[1:]]}))
    experiment, _ = begun(tiny(init=str(run)))
    assert set(experiment.initial.record.fresh) == {"classifier/kernel", "classifier/bias"}
    assert list(experiment.initial.record.lines())[-1].endswith("its classes are others")


def test_a_run_of_another_task_gives_its_backbone(source, tmp_path):
    """Strictly: of its head nothing is taken, nor is it missed."""
    run = shutil.copytree(source, tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    config["task"]["name"] = "segmentation"
    (run / "config.json").write_text(json.dumps(config))
    experiment, first = begun(tiny(init=str(run)))
    record = experiment.initial.record
    assert set(record.fresh) == {"classifier/kernel", "classifier/bias"}
    assert not record.surplus
    assert list(record.lines())[-1].endswith("the run is one of segmentation")
    _, same = begun(tiny(init=str(source)))
    backbone = [p for p in flat(first.weights) if "classifier" not in p]
    for path in backbone:
        np.testing.assert_array_equal(flat(first.weights)[path], flat(same.weights)[path])


def test_a_path_with_an_at_sign_is_a_path(state, tmp_path):
    folder = tmp_path / "run@best"
    folder.mkdir()
    save_file(state, folder / "model.safetensors")
    experiment, _ = begun(tiny(init=str(folder)))
    assert experiment.initial.record.step is None


def test_all_devices_of_a_mesh_hold_what_was_loaded(state, tmp_path):
    save_file(state, tmp_path / "net.safetensors")
    config = tiny(init=str(tmp_path / "net.safetensors"))
    experiment = Experiment.build(config, initial.read)
    drawn = Experiment.build(tiny()).create_state()
    loaded = experiment.create_state()
    assert experiment.mesh.axis_names == (AXIS,)
    same = jax.tree.map(lambda a, b: a.sharding.is_equivalent_to(b.sharding, a.ndim), loaded, drawn)
    assert jax.tree.all(same)


def test_the_state_to_begin_with_is_drawn_once_however_often_it_is_asked_for():
    begin = Experiment.build(tiny()).begin_state()
    assert begin() is begin()


def test_a_run_that_goes_on_needs_the_file_no_more_and_knows_what_was_new(source, tmp_path, capsys):
    """What it becomes is what it becomes undisturbed; evaluation needs the run alone."""
    start = shutil.copytree(source, tmp_path / "start")
    config = tiny(init=str(start))
    config.dataset.synthetic_classes = 7
    config.optimizer.update(freeze=("stem", "stage1"), layer_decay=0.5, new_factor=4.0)
    config.optimizer.name, config.checkpoint.keep = "adamw", 2
    train_and_evaluate(config, tmp_path / "straight")
    out = capsys.readouterr().out
    assert f"model.init: {start}, step 2, ema weights" in out
    assert "learning rate times: stage2 0.25, stage3 0.5, head 4" in out
    told = Environment.read(tmp_path / "straight")
    assert told.initialisation.fresh == ("classifier/bias", "classifier/kernel")
    assert f"trained      {told.trainable_parameters:>12,}" in out

    run = shutil.copytree(tmp_path / "straight", tmp_path / "run")
    shutil.rmtree(run / "checkpoints" / "2")
    (run / "summary.json").unlink()
    shutil.rmtree(start)
    train_and_evaluate(config, run)
    out = capsys.readouterr().out
    assert f"begun with model.init={start}" in out
    assert "head 4" in out
    assert Environment.read(run).initialisation == told.initialisation
    leaves = []
    for each in ("straight", "run"):
        with Checkpoints(tmp_path / each / "checkpoints", read_only=True) as checkpoints:
            leaves.append(checkpoints.manifest(2)["leaves"])
    assert leaves[0] == leaves[1]
    assert evaluate_run(run)["examples"] == 16

    (run / "environment.json").unlink()
    with pytest.raises(
        UsageError, match=r"does not tell what model.init has loaded, which optimizer.new"
    ):
        train_and_evaluate(config, run)
    other = config.copy_and_resolve_references()
    other.model.init = "elsewhere"
    with pytest.raises(UsageError, match=r"another config \(model.init .* -> 'elsewhere'\)"):
        train_and_evaluate(other, run)


def test_a_sweep_looks_at_the_weights_before_it_begins_and_not_when_it_goes_on(tmp_path):
    grid = Sweep(title="T", variants={"a": {}}, baseline="a", seeds=1)
    config = tiny(init=str(tmp_path / "absent"))
    with pytest.raises(UsageError, match="no weights in .*absent: No such file"):
        check(config, grid, "a.py")
    assert check(config, grid, "a.py", begun=True)["a"].total_steps == 2
    config.model.init, config.optimizer.freeze = "", ("stage9",)
    with pytest.raises(UsageError, match="'stage9' is no part"):
        check(config, grid, "a.py")
