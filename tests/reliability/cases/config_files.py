"""Files that are no recipes, and recipes that fail."""

from pathlib import Path

from tests.reliability.case import Case
from tests.reliability.making import TINY, data, recipe, text, tiny

TRAIN = "train.py --config=tiny.py --workdir=RUN"


def _unreadable(folder: Path) -> None:
    tiny(folder)
    (folder / "tiny.py").chmod(0)


CASES = (
    Case("absent", "train.py --config=configs/digit.py --workdir=RUN"),
    Case("empty name", "train.py --config= --workdir=RUN"),
    Case("a folder", "train.py --config=configs --workdir=RUN"),
    Case(
        "not Python by its name",
        "train.py --config=tiny.yaml --workdir=RUN",
        text("tiny.yaml", "a: 1"),
    ),
    Case(
        "name with an escape sequence of terminals and a line break",
        ("train.py", "--config=\x1b[31mred\n.py", "--workdir=RUN"),
    ),
    Case(
        "not Python by its content",
        TRAIN,
        data("tiny.py", bytes(range(256))),
        varies=r"(?<=SyntaxError: ).*",
    ),
    Case(
        "syntax error",
        TRAIN,
        text("tiny.py", "def get_config(:\n    pass\n"),
        varies=r"(?<=SyntaxError: ).*",
    ),
    Case("name that is not defined", TRAIN, text("tiny.py", "x = y\n")),
    Case("module that is absent", TRAIN, text("tiny.py", "import no_such_module\n")),
    Case("no `get_config`", TRAIN, text("tiny.py", "x = 1\n")),
    Case("`get_config` is no function", TRAIN, text("tiny.py", "get_config = 1\n")),
    Case("`get_config` raises", TRAIN, text("tiny.py", "def get_config():\n    return 1 / 0\n")),
    Case(
        "`get_config` ends the program", TRAIN, text("tiny.py", "def get_config():\n    exit(0)\n")
    ),
    Case(
        "`get_config` returns a dict", TRAIN, text("tiny.py", "def get_config():\n    return {}\n")
    ),
    Case(
        "argument for a recipe that takes none",
        "train.py --config=tiny.py:eca --workdir=RUN",
        text("tiny.py", TINY.replace('attention="se"', "").replace("= attention", "= 'se'")),
    ),
    Case("argument that is no mechanism", "train.py --config=configs/digits.py:ecca --workdir=RUN"),
    Case(
        "recipe that sets an unknown field",
        TRAIN,
        text("tiny.py", TINY.replace("c.steps = 2", "c.step = 2")),
        varies=r"(?<=AttributeError: ).*",
    ),
    Case(
        "recipe that starts from nothing",
        TRAIN,
        text(
            "tiny.py",
            "from ml_collections import ConfigDict\n\n\ndef get_config():\n"
            "    return ConfigDict({'steps': 2})\n",
        ),
    ),
    Case(
        "recipe that unlocks a field of its own",
        TRAIN,
        recipe(
            "tiny = get_config\n\n\ndef get_config():\n    c = tiny()\n    with c.unlocked():\n"
            "        c.optimizer.learning_rat = 0.1\n    return c\n"
        ),
    ),
    Case("unreadable", TRAIN, _unreadable, unprivileged=True),
)
