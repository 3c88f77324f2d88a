"""The README's code runs, and what it names exists."""

import re
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from chanattn.attention import catalogue, gate

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_library_example_runs() -> None:
    (example,) = [code for code in blocks("python") if "models.create" in code]
    example = example.replace("resnet50", "resnet8")  # the same, in seconds
    scope: dict[str, Any] = {"x": jnp.ones((2, 4, 4, 16)), "images": jnp.ones((2, 16, 16, 3))}
    exec(example, scope)
    assert scope["sown"]["attention"]["weights"].shape == (2, 16)
    assert scope["logits"].shape == (2, 10)
    assert {"stem", "stage1", "pooled"} <= scope["endpoints"].keys()


def test_the_table_of_mechanisms_is_current() -> None:
    assert catalogue.insert(README) == README, "run: python -m chanattn.attention --markdown"


def test_all_gates_are_named() -> None:
    section = README[README.index("* **Options**") : README.index("* **Places**")]
    assert set(gate.names()) <= set(re.findall(r"`(\w+)`", section))


def test_every_file_and_config_named_exists() -> None:
    for path in re.findall(r"(?:configs|chanattn|tests|docs)/[\w/]+\.(?:py|md)", README):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"--config=(configs/\w+\.py)", README):
        assert (ROOT / path).is_file(), path
