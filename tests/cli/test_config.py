"""Configs: every recipe is valid, and a config survives its way through JSON."""

import pytest
from absl import flags
from ml_collections import ConfigDict, config_flags

from chanattn import attention, cli
from chanattn import config as page
from chanattn.errors import UsageError
from chanattn.fields import Field, integer
from chanattn.training.config import changed_fields, flatten, from_json, to_json
from chanattn.training.validate import validate
from configs import base
from tests.conftest import ROOT

RECIPES = sorted(
    path for path in (ROOT / "configs").glob("*.py") if path.name not in ("__init__.py", "base.py")
)


def test_flatten_gives_the_whole_path_of_every_field() -> None:
    config = ConfigDict({"a": 1, "b": {"c": (1, 2), "d": {"e": None}}})
    assert flatten(config) == {"a": 1, "b.c": (1, 2), "b.d.e": None}


def test_config_survives_json() -> None:
    config = base.get_config()
    config.model.attention.stages = (2, 3)
    config.seed = 7
    restored = from_json(to_json(config))
    assert flatten(restored) == flatten(config)
    assert changed_fields(config, restored) == {}
    assert restored.is_locked
    with pytest.raises(AttributeError):
        restored.optimizer.learning_rat = 1.0


def test_a_size_of_a_run_may_change_between_one_number_and_two() -> None:
    config = base.get_config()
    for size, other in ((24, (3, 4)), ((24, 30), 5)):
        config.dataset.image_size = size
        restored = from_json(to_json(config))
        assert restored.dataset.image_size == size
        restored.dataset.image_size = other


@pytest.mark.parametrize(
    ("text", "value"), [("32", 32), ("240,320", (240, 320)), ("(240, 320)", (240, 320)), ("0", 0)]
)
def test_a_size_is_one_number_or_two_on_the_command_line(text, value) -> None:
    values, argv = flags.FlagValues(), ["train.py", f"--config.dataset.image_size={text}"]
    config = cli.load_config(str(ROOT / "configs/digits.py"))
    config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=argv)
    values(argv)
    assert config.dataset.image_size == value
    validate(config)
    restored = from_json(to_json(config))
    assert changed_fields(config, restored) == {}
    validate(restored)


@pytest.mark.parametrize("value", [-1, 1.5, True, "8x8", (8,), (8, 0), (8, 8, 8), (8, 16_385)])
def test_other_sizes_are_refused(value) -> None:
    config = cli.load_config(str(ROOT / "configs/digits.py"))
    config.dataset.image_size = value
    with pytest.raises(UsageError, match=r"image_size must be an integer .*HEIGHT,WIDTH, not"):
        validate(config)


def test_changed_fields_lists_old_and_new_value() -> None:
    old, new = base.get_config(), base.get_config()
    new.optimizer.learning_rate = 0.5
    new.model.attention.stages = (4,)
    assert changed_fields(old, new) == {
        "optimizer.learning_rate": (0.1, 0.5),
        "model.attention.stages": ((), (4,)),
    }


def test_option_that_came_later_is_no_change_while_it_is_unset() -> None:
    new = base.get_config()
    old = from_json(to_json(new)).unlock()
    del old.model.attention["reduction"]
    assert changed_fields(old, new) == {}
    new.model.attention.reduction = 8
    assert changed_fields(old, new) == {"model.attention.reduction": (None, 8)}


def test_field_that_came_later_has_the_value_of_earlier_runs(monkeypatch) -> None:
    field = Field(8, integer(0), "A field that came later.", older=3)
    paths = ("later", "dataset.augment.later", "absent.later", "seed.later")
    monkeypatch.setattr(page, "FIELDS", dict.fromkeys([*paths, "dataset.workers"], field))
    restored = from_json(to_json(base.get_config()))
    assert changed_fields(restored, base.get_config()) == {
        "later": (3, None),
        "dataset.augment.later": (3, None),
    }


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipe_is_valid_and_says_its_command(recipe) -> None:
    config = cli.load_config(str(recipe))
    if config.dataset.name == "folder":
        config.dataset.data_dir = "pictures"
    validate(config)
    docstring = recipe.read_text().split('"""')[1]
    assert f"python train.py --config=configs/{recipe.name}" in docstring


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_argument_of_recipe_chooses_the_attention(recipe) -> None:
    if cli.load_config(str(recipe)).task.name == "captioning":  # that of the decoder
        assert cli.load_config(f"{recipe}:spatial").task.attention == "spatial"
        return
    assert "eca" in attention.names()
    assert cli.load_config(f"{recipe}:eca").model.attention.name == "eca"
