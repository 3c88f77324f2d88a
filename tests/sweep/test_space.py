"""What a search may choose: how it is written, and what is refused before anything starts."""

from pathlib import Path

import pytest

from chanattn import cli
from chanattn.errors import UsageError
from chanattn.sweep.held_out import honest_splits
from chanattn.sweep.space import Dimension, check_space, from_flag, space

TINY = str(Path(__file__).parent / "tiny_sweep.py")


def test_a_file_and_the_command_line_say_the_same() -> None:
    written = space(
        {
            "optimizer.learning_rate": ("log_uniform", 0.01, 1),
            "batch_size": ("log_int", 8, 64),
            "model.attention.reduction": ("choice", [4, 8]),
            "model.attention.name": ("choice", ["se", "eca"]),
            "model.attention.stages": ("choice", [[1, 2], [3]]),
        }
    )
    flags = [
        "optimizer.learning_rate=log_uniform:0.01:1",
        "batch_size=log_int:8:64",
        "model.attention.reduction=choice:4,8",
        "model.attention.name=choice:se,eca",
    ]
    given = space(dict(map(from_flag, flags)))
    assert given == {path: written[path] for path in given}
    assert given["optimizer.learning_rate"] == Dimension("log_uniform", (0.01, 1.0))
    assert written["model.attention.stages"].values == ((1, 2), (3,))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (("log_unifrom", 0.1, 1), "no kind 'log_unifrom'. Did you mean 'log_uniform'"),
        (("uniform", 1.0, 0.1), "is empty; the low end is first"),
        (("log_uniform", 0.0, 0.1), "begins above 0"),
        (("int", 1.5, 3), "takes whole numbers"),
        (("uniform", 1.0), "two numbers as the ends of a range"),
        (("uniform", "a", 1.0), "two numbers as the ends of a range"),
        (("choice", 4, 8), r"\(\"choice\", \[4, 8, 16\]\), not"),
        (("choice", []), r"\(\"choice\", \[4, 8, 16\]\), not"),
        (("choice", [4, 4]), "a choice comes twice"),
        ("uniform", "write .*, not 'uniform'"),
    ],
)
def test_an_entry_that_is_none_is_refused(entry: object, message: str) -> None:
    with pytest.raises(UsageError, match=rf"optimizer\.momentum: .*{message}") as caught:
        space({"optimizer.momentum": entry})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["optimizer.momentum", "optimizer.momentum=uniform", "=choice"])
def test_a_flag_that_is_no_entry_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write FIELD=KIND:LOW:HIGH"):
        from_flag(text)


def test_no_space_at_all_is_refused() -> None:
    with pytest.raises(UsageError, match="a search needs a space"):
        space({})


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"optimizer.learning_rat": ("uniform", 0.1, 1)}, "Did you mean 'optimizer.learning_rate'"),
        ({"optimizer.momentum": ("uniform", 0.5, 1.5)}, r"optimizer.momentum=1\.5"),
        ({"batch_size": ("uniform", 8, 16)}, "must be an integer"),
        ({"seed": ("int", 0, 5)}, "seed is no field"),
        (
            {
                "model.attention.name": ("choice", ["se", "eca"]),
                "model.attention.reduction": ("choice", [4, 8]),
            },
            "the search may choose model.attention.name='eca', model.attention.reduction=4, but: ",
        ),
    ],
)
def test_values_that_do_not_fit_are_refused(entries: dict, message: str) -> None:
    recipe = cli.load_config(TINY)
    recipe.model.attention.name = "se"
    with pytest.raises(UsageError, match=message):
        check_space(space(entries), recipe, TINY)


def test_trials_are_judged_on_pictures_that_nothing_else_uses() -> None:
    from chanattn import data

    recipe = cli.load_config("configs/digits.py")
    judged = honest_splits(recipe)
    assert judged.dataset.split == "train[:90%]"
    assert judged.dataset.eval_split == "train[90%:]"
    whole = data.outline(recipe, "train").num_examples
    parts = [data.outline(judged, judged.dataset[name]) for name in ("split", "eval_split")]
    assert sum(part.num_examples for part in parts) == whole == 1442
    recipe.dataset.split = "train[:80%]"
    named = honest_splits(recipe, "train[80%:90%]")
    assert (named.dataset.split, named.dataset.eval_split) == ("train[:80%]", "train[80%:90%]")
    recipe.dataset.split, recipe.dataset.eval_split = "train[:80%]", "test[:50%]"
    assert honest_splits(recipe, "test[50%:]").dataset.eval_split == "test[50%:]"


@pytest.mark.parametrize("recipe", ["shapes_segmentation", "shapes_detection"])
def test_trials_of_other_tasks_are_judged_so_too(recipe: str) -> None:
    judged = honest_splits(cli.load_config(f"configs/{recipe}.py"))
    assert judged.dataset.eval_split == "train[90%:]"


@pytest.mark.parametrize(
    ("fields", "wanted", "message"),
    [
        ({}, "test", "would make those worthless"),
        ({}, "test[:50%]", "would make those worthless"),
        ({"split": "train[:50%]"}, "", "is a part already"),
        ({}, "test[-10:]", "10 of the 10 pictures"),
        ({}, "train[50%:]", "721 of the 721 pictures .* are trained on too"),
        ({}, "train", "1,442 of the 1,442 pictures"),
        ({"split": "train[:50%]"}, "train[0:60%]", "721 of the 865 pictures"),
        ({"eval_split": "train[-20%:]"}, "", "144 of the 144 pictures .* are in train"),
    ],
)
def test_a_dishonest_split_is_refused(fields: dict, wanted: str, message: str) -> None:
    recipe = cli.load_config("configs/digits.py")
    recipe.dataset.update(fields)
    with pytest.raises(UsageError, match=message):
        honest_splits(recipe, wanted)
