"""What goes into the folders of the cases."""

import shutil
from collections.abc import Callable
from pathlib import Path

Make = Callable[[Path], None]

TINY = '''"""A recipe of two steps."""

from configs import base


def get_config(attention="se"):
    c = base.get_config()
    c.steps = 2
    c.batch_size = 8
    c.platform = "cpu"
    c.cpu_devices = 1
    c.dataset.name = "synthetic"
    c.dataset.image_size = 8
    c.dataset.synthetic_examples = 16
    c.model.name = "resnet8"
    c.model.attention.name = attention
    c.logging.tensorboard = False
    return c
'''
TRAINED = "trained"  # beside the folders of the cases: a folder with tiny.py and RUN


def text(name: str, content: str) -> Make:
    """A file with a text."""

    def make(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    return make


def data(name: str, content: bytes) -> Make:
    """A file of bytes."""

    def make(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    return make


def both(*makers: Make) -> Make:
    """One after another."""

    def make(folder: Path) -> None:
        for each in makers:
            each(folder)

    return make


tiny = text("tiny.py", TINY)


def recipe(lines: str) -> Make:
    """The tiny recipe with further lines at its end."""
    return text("tiny.py", TINY + "\n\n" + lines)


def run(folder: Path) -> None:
    """RUN, trained by the recipe `tiny.py`, which is there as well."""
    shutil.copytree(folder.parent / TRAINED / "RUN", folder / "RUN")
    tiny(folder)
