"""Validation: every field refuses a wrong type and a value out of range, and says where."""

import re

import pytest
from ml_collections import ConfigDict

from chanattn import attention, tasks
from chanattn.config import FIELDS
from chanattn.errors import UsageError
from chanattn.fields import ANNOTATIONS, Field, number
from chanattn.layers import kernels
from chanattn.training import validate as validation
from chanattn.training.config import flatten
from chanattn.training.validate import validate, with_network_told
from configs import base

OPTIONS = [f"model.attention.{name}" for name in attention.options()]

# A value of the right type that the field must refuse; None: every value of the type is valid.
OUT_OF_RANGE = {
    "seed": -1,
    "imports": ("no_such_module",),
    "steps": -1,
    "epochs": -0.5,
    "examples": -1,
    "batch_size": 0,
    "accumulate": 0,
    "log_every": -1,
    "eval_every": -1,
    "checkpoint_every": -1,
    "platform": "cuda",
    "cpu_devices": -1,
    "kernels": "fast",
    "compilation_cache": "gs://bucket",
    "precision": "float64",
    "deterministic": None,
    "param_dtype": "float16",
    "dataset.name": "",
    "dataset.split": "",
    "dataset.eval_split": "",
    "dataset.allow_overlap": None,
    "dataset.data_dir": "file:///data",
    "dataset.class_names": ("",),
    "dataset.void": 65_536,
    "dataset.most_boxes": 0,
    "dataset.least_count": 0,
    "dataset.most_words": 0,
    "dataset.most_captions": -1,
    "dataset.image_size": -1,
    "dataset.mean": (0.5, 0.5),
    "dataset.std": (0.5, 0.0, 0.5),
    "dataset.loader": "grain",
    "dataset.workers": -1,
    "dataset.max_corrupt": -1,
    "dataset.synthetic_examples": 0,
    "dataset.synthetic_classes": 1,
    "dataset.augment.random_resized_crop": None,
    "dataset.augment.eval_crop": 0.0,
    "dataset.augment.pad_crop": -1,
    "dataset.augment.flip": None,
    "dataset.augment.color_jitter": -0.1,
    "dataset.augment.rand_augment_ops": -1,
    "dataset.augment.rand_augment_magnitude": 11.0,
    "dataset.augment.cutout": -1,
    "dataset.augment.mixup": -0.2,
    "dataset.augment.cutmix": float("nan"),
    "dataset.augment.random_scale": (0.0, 1.0),
    "dataset.augment.crop": -1,
    "dataset.augment.max_class_share": 0.0,
    "model.name": "",
    "model.num_classes": -1,
    "model.head": "no_such_head",
    "model.head_width": -1,
    "model.init": "gs://bucket",
    "model.init_strict": None,
    "model.shortcut": "none",
    "model.zero_init_residual": None,
    "model.stochastic_depth": 1.0,
    "model.dropout": -0.1,
    "model.attention.name": "see",
    "model.attention.placement": "nowhere",
    "model.attention.stages": (0, 1),
    "model.attention.start": "zero",
    "task.name": "",
    "task.label_smoothing": 1.0,
    "task.se_loss_weight": -1.0,
    "task.auxiliary_weight": -2.0,
    "task.class_weights": "inverse",
    "task.dice_weight": -0.5,
    "task.lovasz_weight": -0.5,
    "task.preset": "retinanet",
    "task.strides": (0, 8),
    "task.ranges": (0.0, 64.0),
    "task.radius": -1.0,
    "task.tower": 0,
    "task.norm_groups": 0,
    "task.score_threshold": 1.0,
    "task.nms_threshold": 1.5,
    "task.candidates": 0,
    "task.detections": 0,
    "task.attention": "sca",
    "task.attention_width": 0,
    "task.layers": 3,
    "task.conditioned": None,
    "task.endpoint": None,
    "task.positions": None,
    "task.embedding": 0,
    "task.unit_norm": None,
    "task.selector": None,
    "task.prev2out": None,
    "task.ctx2out": None,
    "task.initial_state": "zeros",
    "task.own_words": 1.5,
    "task.doubly_stochastic": -1.0,
    "task.beam": 0,
    "task.length_norm": "sum",
    "task.longest": 0,
    "task.word_groups": ("",),
    "optimizer.name": "adam",
    "optimizer.learning_rate": 0.0,
    "optimizer.momentum": 1.0,
    "optimizer.nesterov": None,
    "optimizer.beta1": 1.0,
    "optimizer.beta2": -0.1,
    "optimizer.eps": 0.0,
    "optimizer.weight_decay": -1e-4,
    "optimizer.decay_attention": None,
    "optimizer.clip_norm": -1.0,
    "optimizer.freeze": ("",),
    "optimizer.layer_decay": 0.0,
    "optimizer.new_factor": 0.0,
    "schedule.name": "linear",
    "schedule.warmup_epochs": -1.0,
    "schedule.warmup_steps": -1,
    "schedule.boundaries": (0.5, 1.0),
    "schedule.factor": 0.0,
    "schedule.power": 0.0,
    "schedule.end_factor": 1.5,
    "ema.decay": 1.0,
    "checkpoint.keep": 0,
    "checkpoint.keep_best": -1,
    "checkpoint.keep_every": -1,
    "nonfinite.policy": "ignore",
    "nonfinite.limit": 0,
    "logging.tensorboard": None,
    "logging.wandb_project": None,
}
WRONG_TYPE = {int: 1.5, float: "fast", bool: 1, str: 3, tuple: 0.5, object: "8x8"}


def runnable() -> ConfigDict:
    """The base config with the few fields set that have no default."""
    config = base.get_config()
    config.epochs = 1.0
    config.dataset.name = "synthetic"
    return config


def with_field(path: str, value: object) -> ConfigDict:
    """A runnable config with any value, of any type, in one field."""
    config = runnable()
    group, _, name = path.rpartition(".")
    holder = config[group] if group else config
    with holder.ignore_type():
        holder[name] = value
    return config


def test_every_field_is_declared_and_has_a_bad_example() -> None:
    assert set(flatten(base.get_config())) == set(FIELDS) | set(OPTIONS)
    assert set(OUT_OF_RANGE) == set(FIELDS)


@pytest.mark.parametrize("path", FIELDS)
def test_a_declaration_agrees_with_itself(path: str) -> None:
    field = FIELDS[path]
    assert field.rule.kind in (object, type(field.default))
    assert field.rule.allows(field.default) == (path != "dataset.name")  # which has to be given
    assert field.older is None or field.rule.allows(field.older)
    assert field.meaning.endswith(".")
    assert set(field.tasks) <= set(tasks.names())
    assert set(field.data) <= set(ANNOTATIONS)


def test_names_known_elsewhere_too_are_the_same() -> None:
    assert FIELDS["kernels"].rule.choices == kernels.NAMES


def test_runnable_config_is_valid() -> None:
    validate(runnable())


@pytest.mark.parametrize("path", FIELDS)
def test_wrong_type_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match=rf"^{path} must be ") as caught:
        validate(with_field(path, WRONG_TYPE[FIELDS[path].rule.kind]))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", [path for path, bad in OUT_OF_RANGE.items() if bad is not None])
def test_value_out_of_range_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match=path.rpartition(".")[2]) as caught:
        validate(with_field(path, OUT_OF_RANGE[path]))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", OPTIONS)
def test_option_of_wrong_type_is_refused(path: str) -> None:
    kind = attention.options()[path.rpartition(".")[2]]
    with pytest.raises(UsageError, match=rf"^{path} must be "):
        validate(with_field(path, WRONG_TYPE[kind]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0.0}, "no length"),
        (
            {"steps": 5},
            r"2 lengths \(steps=5, epochs=1\); add --config.epochs=0 to keep steps, or --config.steps=0 to",
        ),
        ({"model.init_strict": False}, "model.init_strict=False is for model.init"),
        ({"optimizer.new_factor": 2.0}, "new_factor=2.0 is for what model.init does not load"),
        ({"accumulate": 3}, "batch_size 128 cannot be split into accumulate=3"),
        ({"platform": "cpu", "cpu_devices": 3}, "batch_size 128 is not divisible by cpu_devices=3"),
        ({"accumulate": 64, "cpu_devices": 4}, "batch_size/accumulate 2 is not divisible"),
        ({"epochs": 0.0, "examples": 100}, "examples 100 are fewer than one batch of 128"),
        ({"schedule.warmup_epochs": 2.0}, "warmup_epochs 2 is longer than the training"),
        ({"epochs": 0.0, "steps": 5, "schedule.warmup_steps": 6}, "warmup_steps 6 is longer"),
        ({"schedule.warmup_epochs": 0.5, "schedule.warmup_steps": 6}, "not both"),
        ({"schedule.boundaries": (0.75, 0.5)}, "boundaries must rise"),
        ({"dataset.name": "folder"}, "needs dataset.data_dir"),
        ({"dataset.augment.random_resized_crop": True}, "needs dataset.image_size"),
        ({"dataset.loader": "device", "dataset.workers": 1}, "workers is for streamed data"),
        ({"dataset.image_size": 8, "dataset.augment.cutout": 9}, "cutout 9 is larger"),
        ({"optimizer.name": "sdg"}, "Did you mean 'sgd'"),
        ({"task.name": "clasification"}, "Did you mean 'classification'"),
        ({"model.name": "resnet50tt"}, "Did you mean 'resnet50t'"),
        ({"model.name": "seresnet5"}, "Did you mean 'seresnet50'"),
        ({"model.name": "mobilenetv3_rw"}, "one of timm's .mobilenetv3.py. that is not here yet"),
        ({"model.name": "poolformer"}, "unknown model.name 'poolformer'. `python -m chanattn.mod"),
        (
            {"model.name": "seresnet50", "model.attention.name": "eca"},
            "'seresnet50' is the architecture 'resnet50' with the attention 'se', not 'eca'",
        ),
        ({"model.attention.name": "ecaa"}, "Did you mean 'eca'"),
        ({"model.attention.name": "eca", "model.attention.reduction": 8}, "no option 'reduction'"),
        ({"model.attention.placement": "posst"}, "Did you mean 'post'"),
        (
            {"model.attention.name": "sk", "model.attention.placement": "post"},
            "cannot be placed at 'post'",
        ),
        ({"model.attention.name": "se", "model.attention.placement": "conv"}, "conv"),
        (
            {"model.attention.name": "sk", "model.attention.start": "identity"},
            "'sk' cannot start as the identity",
        ),
        ({"model.attention.name": "se", "model.attention.stages": (1, 1)}, "a stage twice"),
    ],
)
def test_fields_that_do_not_go_together_are_refused(changes: dict, message: str) -> None:
    config = runnable()
    for path, value in changes.items():
        config.update_from_flattened_dict({path: value})
    with pytest.raises(UsageError, match=message) as caught:
        validate(config)
    assert "\n" not in str(caught.value)


def test_field_that_does_not_exist_is_refused_with_its_neighbour() -> None:
    config = runnable().unlock()
    config.optimizer.learning_rat = 0.1
    with pytest.raises(UsageError, match=r"Did you mean 'optimizer\.learning_rate'"):
        validate(config)


def test_field_that_is_missing_is_refused() -> None:
    config = runnable().unlock()
    del config.ema["decay"]
    with pytest.raises(UsageError, match=r"lacks ema\.decay"):
        validate(config)


def test_field_of_another_task_keeps_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    field = Field(0.5, number(0, 1), "Overlap of two boxes of one thing.", tasks=("detection",))
    monkeypatch.setattr(validation, "FIELDS", FIELDS | {"task.overlap": field})
    config = runnable().unlock()
    config.task.overlap = 0.5
    validate(config)
    config.task.overlap = 0.7
    reason = r"^task\.overlap=0\.7 is for detection, not for classification; set it to its default, 0\.5$"
    with pytest.raises(UsageError, match=reason):
        validate(config)
    config.task.overlap = 1.7
    with pytest.raises(UsageError, match=r"^task\.overlap must be a number in \[0, 1\], not 1\.7"):
        validate(config)


@pytest.mark.parametrize(
    ("path", "value", "others"),
    [
        ("dataset.augment.flip", True, ("captions",)),
        ("dataset.augment.pad_crop", 4, ()),
        ("dataset.augment.color_jitter", 0.4, ()),
        ("dataset.augment.random_resized_crop", True, ("mask", "boxes", "captions")),
        ("dataset.augment.eval_crop", 1.0, ("mask", "boxes")),
        ("dataset.augment.rand_augment_ops", 2, ("mask", "boxes", "captions")),
        ("dataset.augment.cutout", 4, ("mask", "boxes", "captions")),
        ("dataset.augment.mixup", 0.2, ("mask", "boxes", "captions")),
        ("dataset.augment.cutmix", 1.0, ("mask", "boxes", "captions")),
        ("task.label_smoothing", 0.1, ("boxes",)),
        ("dataset.augment.random_scale", (0.5, 2.0), ("label", "captions")),
        ("dataset.augment.crop", 16, ("label", "captions")),
    ],
)
def test_augmentation_that_annotations_cannot_follow_is_refused(
    path: str, value: object, others: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = with_field(path, value)
    config.dataset.image_size = 32
    for kind in ANNOTATIONS:
        monkeypatch.setattr(tasks, "annotations", lambda name, kind=kind: (kind,))
        if kind not in others:
            validate(config)
            continue
        learns = f"classification learns from {ANNOTATIONS[kind]};"
        reason = f"^{path}={re.escape(str(value))} works with .* alone, and {learns}"
        with pytest.raises(UsageError, match=reason) as caught:
            validate(config)
        fix = f"set it to its default, {FIELDS[path].default!r}"
        if FIELDS[path].instead and kind != "captions":
            fix += f", and use {FIELDS[path].instead}"
            assert fix.endswith(("random_scale and crop", "color_jitter"))
        assert str(caught.value).endswith(fix)


def test_a_run_records_what_the_names_of_network_and_attention_stand_for() -> None:
    config = runnable()
    config.model.attention.name = ""
    told = with_network_told(config)
    assert (told.model.name, told.model.attention.name) == ("resnet20", "identity")
    config.model.name = "bat_resnext26ts.ch_in1k"
    told = with_network_told(config)
    chosen = told.model.attention
    assert (told.model.name, chosen.name, chosen.placement) == ("resnext26ts", "bat", "mid")
    assert (chosen.preset, chosen.block_size) == ("timm", 8)
    assert with_network_told(told) == told
    assert config.model.name == "bat_resnext26ts.ch_in1k"
