"""Costs of configs: what they hold, and that it is that of the training."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from ml_collections import ConfigDict

from chanattn import data, models
from chanattn.analysis import cost
from chanattn.analysis.cost.programs import compile_programs, planned_memory, stand_in
from chanattn.errors import UsageError
from chanattn.layers import kernels
from chanattn.training.config import changed_fields
from configs import cifar10, digits, shapes_captioning, shapes_segmentation


def recipe(attention: str = "identity") -> ConfigDict:
    config = digits.get_config(attention)
    config.batch_size = 4
    return config


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    config = recipe("se")
    config.dataset.augment.mixup = 0.2
    config.accumulate = 2
    return cost.of_configs({"se": config}, batch_size=8, rounds=3, seconds=0.01)


@pytest.mark.slow
def test_cost_file_holds_what_its_readers_expect(measured: dict[str, Any]) -> None:
    assert json.loads(json.dumps(measured)) == measured
    assert measured["format"] == 1
    assert measured.keys() == {"format", "hardware", "how", "conventions", "variants"}
    assert list(measured["variants"]) == ["se"]
    for entry in measured["variants"].values():
        for key in (
            *("train_images_per_s", "train_step_ms", "infer_images_per_s", "infer_ms"),
            "infer_latency_ms",
        ):
            spread = entry[key]
            assert len(spread["rounds"]) == 3
            assert spread["low"] == min(spread["rounds"])
            assert spread["high"] == max(spread["rounds"])
            assert 0 < spread["low"] <= spread["median"] <= spread["high"]
        assert entry["train_images_per_s"]["median"] == pytest.approx(
            8 * 1000 / entry["train_step_ms"]["median"], rel=1e-4
        )
        assert entry["batch_size"] == 8
        assert entry["image_shape"] == [8, 8, 3]


@pytest.mark.slow
def test_memory_of_a_step_exceeds_its_parameters_and_their_momentum(
    measured: dict[str, Any],
) -> None:
    for entry in measured["variants"].values():
        assert 8 * entry["parameters"] < entry["peak_memory_bytes"] < 1e9


def test_conventions_tell_of_captions_where_there_are_some() -> None:
    told = [
        cost.of_configs({"none": config}, speed=False)["conventions"]
        for config in (recipe(), shapes_captioning.get_config())
    ]
    assert ["caption" in conventions for conventions in told] == [False, True]


def test_parameters_are_those_of_the_training() -> None:
    # README: what `make demo` prints.
    variants = cost.of_configs({"none": recipe(), "se": recipe("se")}, speed=False)["variants"]
    assert {name: entry["parameters"] for name, entry in variants.items()} == {
        "none": 75_290,
        "se": 76_081,
    }
    assert variants["se"]["attention"]["parameters"] == 76_081 - 75_290
    assert variants["se"]["macs"] - variants["none"]["macs"] == variants["se"]["attention"]["macs"]
    assert variants["se"]["train_step_ms"] is None
    assert variants["se"]["batch_size"] == 4


def test_counting_needs_no_data(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    entry = cost.of_configs({"cifar": cifar10.get_config("identity")}, speed=False)["variants"]
    # The table of params.csv: ResNet-20 with shortcuts of option A.
    assert entry["cifar"]["macs"] == 40_551_040
    assert entry["cifar"]["parameters"] == 269_722


def test_the_choice_of_kernels_is_left_as_it_was() -> None:
    config = recipe()
    config.kernels = "plain"
    with kernels.chosen("xla"):
        cost.of_configs({"none": config}, speed=False)
        assert kernels.current() == "xla"


def test_an_error_names_its_variant() -> None:
    config = recipe("se")
    config.model.attention.reduction = 0
    with pytest.raises(UsageError, match="^broken: .*reduction"):
        cost.of_configs({"fine": recipe(), "broken": config}, speed=False)


def test_what_is_timed_differs_from_the_recipe_in_data_and_length_alone() -> None:
    config = recipe("se")
    config.ema.decay = 0.9
    config.schedule.warmup_epochs = 3.0
    copy = stand_in(config, data.Pictures((8, 8, 3), 10))
    changed = set(changed_fields(config, copy))
    assert all(
        path.startswith("dataset.")
        or path in ("steps", "epochs", "examples", "optimizer.learning_rate")
        for path in changed
    )
    assert not any(path.startswith("dataset.augment") for path in changed)
    assert data.pictures(copy) == ((8, 8, 3), 10)


class Built(Exception):
    pass


def built(config: ConfigDict) -> ConfigDict:
    """What `compile_programs` builds an experiment of."""

    def build(config: ConfigDict, *_: Any) -> Any:
        raise Built(config)

    with pytest.raises(Built) as caught:
        compile_programs(config, data.Pictures((8, 8, 3), 10), build)
    return caught.value.args[0]


def test_the_step_of_a_run_on_pictures_that_lie_on_the_device_is_timed_itself() -> None:
    config = recipe("se")
    assert built(config) == config
    begun = config.copy_and_resolve_references()
    begun.model.init = "weights.safetensors"  # is not read
    assert built(begun) == config


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dataset.loader", "stream"),
        ("dataset.name", "not_there"),
        ("dataset.augment.random_resized_crop", True),
        ("batch_size", 1_443),  # one more than there are pictures
    ],
)
def test_one_batch_stands_for_pictures_that_are_streamed_absent_or_too_few(
    field: str, value: Any
) -> None:
    config = recipe("se")
    config.update_from_flattened_dict({field: value})
    assert built(config).dataset.name == "synthetic"


def test_a_segmentation_is_timed_with_its_classes_and_their_weights() -> None:
    config = shapes_segmentation.get_config("se")
    config.batch_size = 2
    with config.dataset.ignore_type():
        config.dataset.image_size = (16, 24)
    config.model.update(name="resnet8", head_width=32)
    found = cost.of_configs({"se": config}, batch_size=2, rounds=1, seconds=0.01)
    (entry,) = found["variants"].values()
    copy = stand_in(config, data.Pictures((16, 24, 3), 6))
    assert data.pictures(copy, ["label_map"]) == ((16, 24, 3), 6)
    assert entry["train_step_ms"]["median"] > 0
    assert entry["peak_memory_bytes"] > 8 * entry["parameters"]


def test_pictures_that_are_not_square_are_timed_in_their_size() -> None:
    copy = stand_in(recipe(), data.Pictures((8, 16, 3), 10))
    assert data.pictures(copy) == ((8, 16, 3), 10)


def test_planned_memory_counts_what_is_overwritten_once() -> None:
    x = jnp.zeros((256, 256))
    add = jax.jit(lambda x: x + 1).lower(x).compile()
    in_place = jax.jit(lambda x: x + 1, donate_argnums=0).lower(x).compile()
    assert planned_memory(add) == 2 * 4 * 256 * 256
    assert planned_memory(in_place) == 4 * 256 * 256


def test_a_backend_that_plans_nothing_has_no_figure() -> None:
    class Silent:
        def memory_analysis(self) -> None:
            return None

    assert planned_memory(Silent()) is None


def test_names_of_architectures_do_not_hide_the_mechanisms_of_their_own() -> None:
    config = recipe()
    config.model.name = "resnest14d"
    (entry,) = cost.of_configs({"none": config}, speed=False)["variants"].values()
    model = models.create("resnest14d", num_classes=10)
    assert model.slots.conv.name == "splat"
    assert entry["attention"]["parameters"] > 0
