"""The measured trainings are valid configs, the same in this process and on train.py's command line."""

import pytest
from absl import flags

from benchmarks import recipes
from benchmarks.output import ROOT
from chanattn import cli
from chanattn.errors import UsageError
from chanattn.training.validate import validate


@pytest.mark.parametrize("name", list(recipes.RECIPES))
def test_a_recipe_is_valid_and_its_flags_give_the_same_config(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = recipes.load(name)
    validate(config)
    monkeypatch.chdir(ROOT)
    argv = ["train.py", *recipes.flags(name)]
    parsed, _ = cli.parse(argv, config=True, positionals=False, flag_values=flags.FlagValues())
    assert parsed.to_dict() == config.to_dict()


def test_an_unknown_recipe_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="Did you mean 'digits'"):
        recipes.names("resnet20,digit")
