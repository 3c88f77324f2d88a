"""A run knows its classes: no other ones come under it, at a resume or in an evaluation."""

import json
import shutil
import unicodedata

import cv2
import jax
import numpy as np
import pytest
import small_runs

from chanattn import data, models
from chanattn.errors import UsageError
from chanattn.report.evaluation_table import show
from chanattn.training import evaluate, run_directory
from chanattn.training.evaluate import evaluate_run, file_name
from chanattn.training.loop import train_and_evaluate
from chanattn.training.run_directory import check_classes, record_classes

NAMES = ("apple", "birch", "caf\u00e9", "daisy", "elder")  # the third in its composed form


def pictures(root, names=NAMES, splits=("train", "test")):
    """Four pictures a class and split; the classes differ in brightness."""
    for split in splits:
        for number, name in enumerate(names):
            place = root / split / name
            place.mkdir(parents=True)
            for i in range(4):
                pixels = np.full((8, 8, 3), 40 * number + i, np.uint8)
                assert cv2.imwrite(str(place / f"{i}.png"), pixels)


def config_of(root):
    config = small_runs.tiny_config()
    config.steps = 4
    config.batch_size = 10
    config.checkpoint_every = config.eval_every = 2
    config.dataset.name, config.dataset.data_dir = "folder", str(root)
    return config


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_net):
    """A folder with the pictures `D` and `run`, four steps on them."""
    folder = tmp_path_factory.mktemp("trained")
    pictures(folder / "D")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        patched.setattr(models, "from_config", lambda *_: tiny_net(dropout=0.2))
        train_and_evaluate(config_of("D"), "run")
    return folder


@pytest.fixture
def run(trained, tmp_path, tiny_runs, monkeypatch):
    """A copy of the run, beside its pictures."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "run"


def longer(run):
    """The run goes on for two steps."""
    config = config_of("D")
    config.steps = 6
    return train_and_evaluate(config, run, allow_config_change=True)


def state_of(folder):
    return {str(p): p.stat().st_mtime_ns for p in sorted(folder.rglob("*"))}


def rename(root, old, new):
    for split in ("train", "test"):
        (root / split / old).rename(root / split / new)


def test_the_names_are_recorded_and_the_run_continues(run):
    assert json.loads((run / "classes.json").read_text()) == {"names": list(NAMES)}
    assert longer(run)["steps"] == 6


def test_a_class_renamed_between_training_and_resume_is_refused_and_nothing_written(run):
    rename(run.parent / "D", "birch", "zebra")  # the labels of three classes move
    before = state_of(run)
    with pytest.raises(UsageError, match="new: 'zebra'; absent: 'birch'") as caught:
        longer(run)
    assert "\n" not in str(caught.value)
    assert state_of(run) == before


def test_a_name_corrected_in_the_record_is_believed(run):
    rename(run.parent / "D", "birch", "birch_tree")
    names = [name.replace("birch", "birch_tree") for name in NAMES]
    (run / "classes.json").write_text(json.dumps({"names": names}))
    assert longer(run)["steps"] == 6


def test_another_unicode_form_of_a_name_is_the_same(run):
    other = unicodedata.normalize("NFD", NAMES[2])
    assert other != NAMES[2]
    rename(run.parent / "D", NAMES[2], other)
    assert longer(run)["steps"] == 6
    assert evaluate_run(run)["classes_compared"]


def test_an_older_run_continues_says_so_and_is_compared_from_then_on(run, capsys):
    (run / "classes.json").unlink()
    assert not evaluate_run(run)["classes_compared"]
    longer(run)
    said = capsys.readouterr()
    assert "WARNING: this run was begun before the names of its classes" in said.out + said.err
    assert json.loads((run / "classes.json").read_text()) == {"names": list(NAMES)}
    rename(run.parent / "D", "birch", "zebra")
    with pytest.raises(UsageError, match="zebra"):
        longer(run)


def test_a_start_that_saved_nothing_binds_nobody(tmp_path):
    record_classes(tmp_path, ["a", "b"])
    assert check_classes(tmp_path, ["a", "c"])
    record_classes(tmp_path, ["a", "c"])
    (tmp_path / "checkpoints" / "2").mkdir(parents=True)
    with pytest.raises(UsageError, match="new: 'd'"):
        check_classes(tmp_path, ["a", "d"])


def test_processes_that_see_other_classes_stop_together(tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(run_directory, "decided", lambda decide: decide())
    for theirs, expected in (([0, 0], "own"), ([0, 1], "other"), ([1, 0], "other")):

        def gather(mine, theirs=theirs):
            return np.stack([mine, [theirs[0], mine[1] + theirs[1]]])

        monkeypatch.setattr(run_directory.multihost_utils, "process_allgather", gather)
        if expected == "own":
            assert check_classes(tmp_path, NAMES)
        else:
            with pytest.raises(UsageError, match="another process has others"):
                check_classes(tmp_path, NAMES)


def test_evaluation_on_other_classes_of_the_same_number_is_refused(run, tmp_path):
    pictures(tmp_path / "other", ("ant", "birch", NAMES[2], "daisy", "elder"), ("test",))
    before = state_of(tmp_path)
    with pytest.raises(UsageError, match="new: 'ant'; absent: 'apple'"):
        evaluate_run(run, **{"dataset.data_dir": str(tmp_path / "other")})
    assert state_of(tmp_path) == before


def test_the_same_classes_in_another_order_are_refused(run, monkeypatch):
    names = (NAMES[1], NAMES[0], *NAMES[2:])
    real = data.evaluation

    def turned(config, mesh, **fields):
        examples = real(config, mesh)
        examples.class_names = names
        return examples

    monkeypatch.setattr(evaluate.data, "evaluation", turned)
    with pytest.raises(UsageError, match="another order: class 0 is 'birch' instead of 'apple'"):
        evaluate_run(run)


def test_the_set_of_the_training_is_not_needed_to_evaluate_on_another(run, tmp_path):
    pictures(tmp_path / "moved", splits=("val",))
    shutil.rmtree(tmp_path / "D")
    overrides = {"dataset.data_dir": str(tmp_path / "moved"), "dataset.eval_split": "val"}
    result = evaluate_run(run, **overrides)
    assert result["classes_compared"]
    assert result["examples"] == 20


def test_a_test_split_in_another_unicode_form_is_of_the_same_classes(tmp_path, tiny_runs):
    pictures(tmp_path / "D")
    (tmp_path / "D" / "test" / NAMES[2]).rename(
        tmp_path / "D" / "test" / unicodedata.normalize("NFD", NAMES[2])
    )
    assert train_and_evaluate(config_of(tmp_path / "D"), tmp_path / "run")["steps"] == 4


def test_what_could_not_be_compared_is_said(run, capsys):
    (run / "classes.json").unlink()
    show(evaluate_run(run))
    assert "names of the classes on which the weights were trained are unknown" in (
        capsys.readouterr().out
    )


INVOCATIONS = (
    {},
    {"dataset.eval_split": "test[:12]"},
    {"dataset.eval_split": "test[12:]"},
    {"dataset.eval_split": "test_12_"},
    {"dataset.eval_split": "Test"},
    {"dataset.eval_split": "train"},
    {"dataset.eval_split": "\u65e5" * 100},
    {"dataset.eval_split": "\u65e5" * 101},
    {"dataset.name": "a/b"},
    {"dataset.name": "a_b"},
    {"dataset.data_dir": "/elsewhere"},
    {"dataset.data_dir": "/elsewhere", "dataset.eval_split": "test[:12]"},
    {"batch_size": 3},
    {"precision": "bfloat16"},
    {"dataset.augment.eval_crop": 0.5},
    {"step": 1},
    {"ema": False},
)


def test_no_two_evaluations_share_their_files(tmp_path, monkeypatch):
    """Every pair of invocations that may give different numbers; on a file system without upper case, too."""
    config = config_of("/data")
    written = []

    def write(folder, name, *rest):
        written.append(name)
        return {}

    class Examples:
        class_names = NAMES
        num_classes = 5
        image_shape = (8, 8, 3)

    class Run:
        directory = tmp_path

        def __init__(self, *_, **__): ...
        def __enter__(self):
            return self

        def __exit__(self, *_): ...
        def steps_on_disk(self):
            return [1, 2]

        def restore_weights(self, *_, **__): ...

    trained = config.copy_and_resolve_references()
    trained.ema.decay = 0.9
    for name, stand_in in {
        "read_config": lambda _: trained,
        "read_classes": lambda _: NAMES,
        "Checkpoints": Run,
        "template_of": lambda *_: None,
        "measured": lambda *_: ({}, {}),
        "write_result": write,
    }.items():
        monkeypatch.setattr(evaluate, name, stand_in)
    monkeypatch.setattr(evaluate.data, "evaluation", lambda *_, **__: Examples)
    for given in INVOCATIONS:
        evaluate_run(tmp_path, **given)
    assert written[0] == "folder-test-step2-ema"
    assert len({name.lower() for name in written}) == len(INVOCATIONS)
    assert all(len(name.encode()) < 250 and "/" not in name for name in written)


def test_a_file_name_is_the_same_for_the_same_thing():
    assert file_name("a[b]", {"x": 1, "y": 2}) == file_name("a[b]", {"y": 2, "x": 1})
    assert file_name("a-b.c", {}) == "a-b.c"
