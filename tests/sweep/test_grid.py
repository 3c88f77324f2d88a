"""A sweep file becomes configs, and every mistake in it is named before anything happens."""

import dataclasses

import pytest
from ml_collections import ConfigDict

from chanattn.errors import UsageError
from chanattn.sweep import Published, Sweep, grid
from chanattn.sweep.check import check, chosen
from chanattn.training.config import changed_fields
from tests.conftest import ROOT

SE = {"model.attention.name": "se"}


@pytest.fixture
def refusal(tiny):
    """The lines of what a grid with these fields is refused with."""
    recipe, described = tiny

    def build(recipe=recipe, **fields):
        with pytest.raises(UsageError) as refused:
            check(recipe, dataclasses.replace(described, **fields), "a.py")
        return str(refused.value).split("\n  ")

    return build


def test_a_run_differs_from_the_recipe_in_its_overrides_and_its_seed_alone(
    tiny: tuple[ConfigDict, Sweep],
) -> None:
    recipe, described = tiny
    config = grid.resolve(recipe, described.variants["se_r4"], seed=3)
    assert changed_fields(recipe, config) == {
        "model.attention.name": ("", "se"),
        "model.attention.reduction": (None, 4),
        "seed": (0, 3),
    }
    assert recipe.seed == 0


def test_whole_numbers_and_lists_take_the_type_of_their_field(
    tiny: tuple[ConfigDict, Sweep],
) -> None:
    overrides = {"optimizer.learning_rate": 1, "model.attention.stages": [1, 2]}
    config = grid.resolve(tiny[0], overrides)
    assert type(config.optimizer.learning_rate) is float
    assert config.model.attention.stages == (1, 2)


def test_the_argument_reaches_both_functions() -> None:
    recipe, described = grid.load(f"{ROOT}/tests/sweep/tiny_sweep.py:7")
    assert recipe.steps == 7
    assert described.baseline == "none"


def test_a_recipe_without_a_grid_is_refused() -> None:
    with pytest.raises(UsageError, match=r"digits\.py defines no sweep\(\)"):
        grid.load(str(ROOT / "configs" / "digits.py"))


@pytest.mark.parametrize(("wanted", "numbers"), [(3, (0, 1, 2)), ([4, 2], (4, 2))])
def test_a_number_of_seeds_counts_from_zero(wanted: object, numbers: tuple[int, ...]) -> None:
    assert grid.seeds(wanted) == numbers


@pytest.mark.parametrize("wanted", [0, [], [1, 1], [-1], [True], ["0"], [2**32]])
def test_seeds_that_are_none_are_refused(wanted: object) -> None:
    with pytest.raises(UsageError, match="seed"):
        grid.seeds(wanted)


def test_all_mistakes_are_listed_at_once_by_variant(refusal) -> None:
    first, *lines = refusal(
        variants={
            "typo": {"model.attention.nam": "se", "optimizer.learning_rat": 0.1},
            "group": {"model.attention": "se"},
            "type": SE | {"model.attention.reduction": "4", "batch_size": 1.5},
            "range": {"model.dropout": 2.0},
            "alien": {"model.attention.name": "eca", "model.attention.reduction": 4},
            "width": SE | {"model.attention.placement": "mids"},
            "seeded": {"seed": 3},
            "fine": SE,
        },
        baseline="fin",
        seeds=0,
        published=[Published("A paper", "", "", {"fine": 1.0, "other": 2.0})],
    )
    assert first == f"{len(lines)} mistakes in a.py, nothing was started:"
    text = "\n".join(lines)
    for expected in (
        "sweep(): baseline 'fin' is no variant. Did you mean 'fine'?",
        "sweep(): published figure of 'A paper' for 'other' is no variant",
        "sweep(): a sweep needs at least one seed, not 0",
        "typo: unknown config field 'model.attention.nam'. Did you mean 'model.attention.name'?; "
        "unknown config field 'optimizer.learning_rat'. Did you mean 'optimizer.learning_rate'?",
        "group: model.attention is a group of fields; set one of them, as model.attention.",
        "type: model.attention.reduction must be an integer, not '4' (str)",
        "type: batch_size must be an integer >= 1, not 1.5 (float)",
        "range: model.dropout must be a number in [0, 1), not 2.0 (float)",
        "seeded: seed is no field of a variant",
        "width: unknown model.attention.placement 'mids'. Did you mean 'mid'?",
    ):
        assert expected in text
    assert any(line.startswith("alien: ") and "reduction" in line for line in lines)
    assert not any(line.startswith("fine: ") for line in lines)


def test_what_only_the_shapes_tell_is_refused_too(refusal) -> None:
    (line,) = refusal(
        variants={
            "none": {},
            "groups": {"model.attention.name": "sge", "model.attention.groups": 7},
        }
    )
    assert line.startswith("a.py, groups: ")


def test_a_mistake_of_the_recipe_is_told_once(refusal, tiny: tuple[ConfigDict, Sweep]) -> None:
    recipe = tiny[0].copy_and_resolve_references()
    recipe.steps = 0
    (line,) = refusal(recipe=recipe)
    assert line.startswith("a.py, every variant: the training has no length")


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "\x1b[31mred"])
def test_names_that_would_spoil_a_terminal_are_refused(refusal, name: str) -> None:
    assert "printable" in " ".join(refusal(variants={"none": {}, name: SE}))


def test_only_chooses_in_the_order_of_the_grid(tiny: tuple[ConfigDict, Sweep]) -> None:
    described = tiny[1]
    assert chosen(described, []) == ["none", "se_r4"]
    assert chosen(described, ["se_r4", "none"]) == ["none", "se_r4"]
    with pytest.raises(UsageError, match="no variant 'se_r5'. Did you mean 'se_r4'?"):
        chosen(described, ["se_r5"])


def test_the_length_of_each_training_is_known_beforehand(tiny: tuple[ConfigDict, Sweep]) -> None:
    recipe, described = tiny
    longer = dataclasses.replace(
        described, variants={"none": {}, "long": {"steps": 0, "epochs": 3.0}}
    )
    outlines = check(recipe, longer, "a.py")
    assert outlines["none"].total_steps == 40
    assert outlines["long"].total_steps == 3 * (64 // 16)
