"""The command line: what is understood, what is refused and with which words and exit code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from absl import flags
from ml_collections import ConfigDict

from chanattn import cli
from chanattn.errors import NonFinite, Preempted, SaveFailed, UsageError
from tests.conftest import ROOT

DIGITS = str(ROOT / "configs" / "digits.py")


def parse(*arguments: str) -> tuple[ConfigDict | None, flags.FlagValues]:
    """What `train.py` understands of these arguments, with flags of its own."""
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "run directory", flag_values=values)
    flags.DEFINE_bool("allow_config_change", False, "change", flag_values=values)
    config, rest = cli.parse(
        ["train.py", *arguments], config=True, positionals=False, flag_values=values
    )
    assert rest == []
    return config, values


def test_overrides_reach_the_config_with_their_types() -> None:
    config, values = parse(
        f"--config={DIGITS}:eca",
        "--workdir=here",
        "--config.optimizer.learning_rate=1",
        "--config.batch_size",
        "32",
        "--noconfig.optimizer.nesterov",
        "--config.model.attention.stages=(3,4)",
        "--config.model.attention.kernel_size=5",
    )
    assert values.workdir == "here"
    assert config.model.attention.name == "eca"
    assert type(config.optimizer.learning_rate) is float
    assert config.batch_size == 32
    assert config.optimizer.nesterov is False
    assert config.model.attention.stages == (3, 4)
    assert config.model.attention.kernel_size == 5


def test_config_flag_may_stand_behind_its_overrides() -> None:
    config, _ = parse("--config.seed=3", "--config", DIGITS)
    assert config.seed == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--config=FILE is required"),
        (
            ["--config=configs/digit.py"],
            r"configs/digit\.py does not exist.*Did you mean .*digits\.py",
        ),
        ([f"--config={DIGITS}", "config.seed=3"], "Flags begin with two dashes: --config.seed=3"),
        ([f"--config={DIGITS}", "seed=3"], "unexpected argument 'seed=3'"),
        ([f"--config={DIGITS}", "se"], "'se'. This program takes flags alone; --help lists them"),
        ([f"--config={DIGITS}", "--wrkdir=x"], "unknown flag --wrkdir. Did you mean 'workdir'"),
        (
            [f"--config={DIGITS}", "--config.optimizer.learning_rat=1"],
            "unknown config field 'optimizer.learning_rat'. Did you mean 'optimizer.learning_rate'",
        ),
        ([f"--config={DIGITS}", "--config.learning_rate=1"], "mean 'optimizer.learning_rate'"),
        ([f"--config={DIGITS}", "--config.optimizer.lr=1"], "mean 'optimizer.learning_rate'"),
        ([f"--config={DIGITS}", "--config.bs=1"], "mean 'batch_size'"),
        ([f"--config={DIGITS}", "--config.optimizer=sgd"], "is a group of fields"),
        ([f"--config={DIGITS}", "--config.batch_size=x"], "batch_size must be an integer, not 'x'"),
        ([f"--config={DIGITS}", "--config.batch_size=1.5"], "must be an integer, not '1.5'"),
        ([f"--config={DIGITS}", "--config.epochs=many"], "epochs must be a number, not 'many'"),
        (
            [f"--config={DIGITS}", "--config.optimizer.nesterov=perhaps"],
            "nesterov must be true or false, not 'perhaps'",
        ),
        ([f"--config={DIGITS}", "--config.model.attention.reduction=x"], "must be"),
        ([f"--config={DIGITS}", "--config.seed"], "seed"),
        ([f"--config={DIGITS}", "--allow_config_change=maybe"], "allow_config_change"),
    ],
)
def test_mistake_is_named_in_one_line(arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        parse(*arguments)
    assert "\n" not in str(caught.value)


def test_a_recipe_of_a_clone_is_found_and_read_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "chanattn").symlink_to(ROOT / "chanattn")  # as installed: without `configs`
    program = """
import sys
from chanattn import cli
from chanattn.errors import UsageError
before = [*sys.path]
try:
    cli.load_config("configs/digits.py")
except UsageError as error:
    print(error)
print(cli.load_config(sys.argv[1]).dataset.name)
assert sys.path == before
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(ROOT / "configs" / "digits.py")],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == [
        "config file configs/digits.py does not exist. Run this in the clone of chanattn, or give the file's"
        f" whole path, {ROOT}/configs/digits.py.",
        "digits",
    ], done.stderr


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\n", r"defines no get_config\(\)"),
        ("def get_config():\n    return None\n", "returned no ConfigDict"),
    ],
)
def test_file_that_is_no_recipe_is_refused(tmp_path: Path, source: str, message: str) -> None:
    path = tmp_path / "recipe.py"
    path.write_text(source)
    with pytest.raises(UsageError, match=message):
        cli.load_config(str(path))


def test_recipe_may_refuse_its_argument(tmp_path: Path) -> None:
    path = tmp_path / "recipe.py"
    path.write_text(
        "from chanattn.errors import UsageError\n"
        "def get_config(arg):\n    raise UsageError(f'no such variant: {arg}')\n"
    )
    with pytest.raises(UsageError, match="no such variant: huge"):
        cli.load_config(f"{path}:huge")


@pytest.mark.parametrize(
    ("error", "code", "printed"),
    [
        (None, 0, ""),
        (UsageError("wrong thing; do the right one"), 2, "error: wrong thing; do the right one\n"),
        (Preempted("stopped and saved"), 75, "stopped and saved\n"),
        (NonFinite("not finite since step 7", 7), 1, "error: not finite since step 7\n"),
        (SaveFailed("no room for step 9"), 1, "error: no room for step 9\n"),
    ],
)
def test_exit_codes(capsys: pytest.CaptureFixture, error, code: int, printed: str) -> None:
    def main() -> None:
        if error is not None:
            raise error

    with pytest.raises(SystemExit) as caught:
        cli.run(main, argv=["program"])
    assert caught.value.code == code
    assert capsys.readouterr().err == printed


def test_any_other_error_keeps_its_traceback() -> None:
    def main() -> None:
        raise KeyError("a bug")

    with pytest.raises(KeyError, match="a bug"):
        cli.run(main, argv=["program"])


def test_help_lists_the_flags_and_exits_0(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.run(lambda: None, argv=["program", "--help"])
    assert caught.value.code == 0
