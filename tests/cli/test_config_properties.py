"""A config reaches the run as it was given, through JSON and the command line, whatever its values."""

import ast
import math

import pytest
from absl import flags
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from chanattn import cli
from chanattn.errors import UsageError
from chanattn.training.config import changed_fields, flatten, from_json, to_json
from configs import base
from tests.conftest import ROOT

DIGITS = str(ROOT / "configs" / "digits.py")
FIELDS = flatten(base.get_config())
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = {
    bool: st.booleans(),
    int: st.integers(-(2**63), 2**63),
    float: NUMBERS,
    str: st.text(st.characters(exclude_categories=["Cs"])),
}
GIVEN = {path: value for path, value in FIELDS.items() if type(value) in VALUES}


@st.composite
def changes(draw):
    """Some fields by their paths, and other values of the same type."""
    paths = draw(st.lists(st.sampled_from(sorted(GIVEN)), unique=True, max_size=12))
    values = {path: draw(VALUES[type(GIVEN[path])]) for path in paths}
    if draw(st.booleans()):
        values["model.attention.stages"] = tuple(draw(st.lists(st.integers(1, 5))))
        values["dataset.mean"] = tuple(draw(st.lists(NUMBERS, min_size=3, max_size=3)))
    return values


@given(changes())
def test_a_config_survives_json_with_values_and_types(values):
    config = base.get_config()
    config.update_from_flattened_dict(values)
    restored = from_json(to_json(config))
    assert flatten(restored) == flatten(config) == FIELDS | values
    kinds = [{path: type(v) for path, v in flatten(c).items()} for c in (restored, config)]
    assert kinds[0] == kinds[1]
    assert changed_fields(config, restored) == {}
    assert restored.is_locked


def parse(*arguments):
    values = flags.FlagValues()
    config, rest = cli.parse(
        ["train.py", f"--config={DIGITS}", *arguments],
        config=True,
        positionals=False,
        flag_values=values,
    )
    assert rest == []
    return config


@settings(max_examples=15)
@given(changes())
def test_what_the_command_line_says_is_what_the_config_holds_and_nothing_else_changes(values):
    words = [f"--config.{path}={value}" for path, value in values.items()]
    assert flatten(parse(*words)) == flatten(cli.load_config(DIGITS)) | values


@settings(max_examples=25)
@given(
    path=st.sampled_from(sorted(FIELDS)), place=st.integers(0, 40), letter=st.sampled_from("xq_")
)
def test_an_override_that_matches_no_field_is_an_error(path, place, letter):
    place = min(place, len(path))
    wrong = path[:place] + letter + path[place:]
    assume(wrong not in FIELDS)
    with pytest.raises(UsageError, match="unknown config field|is a group of fields"):
        parse(f"--config.{wrong}=1")


def _is_config(node: ast.expr) -> bool:
    """Whether an expression reads a config: `config`, `self._config`, `config.dataset.augment`."""
    words = ast.unparse(node).split(".")
    return all(word.isidentifier() for word in words) and any(
        word.strip("_") in {"config", "trained", "recipe"} for word in words
    )


def test_no_field_is_read_with_a_default_beside_it():
    """`config.get("mixup", 0)` would hide a typo for ever; reports alone read runs of any age."""
    read, found = 0, []
    for folder in ("chanattn", "configs", "benchmarks"):
        for path in set((ROOT / folder).rglob("*.py")) - set((ROOT / "chanattn/report").glob("*")):
            for node in ast.walk(ast.parse(path.read_text())):
                read += isinstance(node, ast.Attribute) and _is_config(node.value)
                if not isinstance(node, ast.Call):
                    continue
                function = node.func
                by_get = (
                    isinstance(function, ast.Attribute)
                    and function.attr == "get"
                    and _is_config(function.value)
                )
                by_getattr = (
                    isinstance(function, ast.Name)
                    and function.id == "getattr"
                    and len(node.args) == 3
                    and _is_config(node.args[0])
                )
                if by_get or by_getattr:
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}")
    assert read > 100
    assert found == []


def test_not_a_number_is_refused_where_it_is_given():
    config = parse("--config.optimizer.learning_rate=nan")
    assert math.isnan(config.optimizer.learning_rate)
    from chanattn.training.validate import validate

    with pytest.raises(UsageError, match=r"optimizer\.learning_rate must be"):
        validate(config)
