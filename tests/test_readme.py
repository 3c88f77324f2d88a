"""The README's code runs, and what it names exists."""

import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from chanattn import attention
from chanattn.attention import registry

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


def test_the_example_mechanism_works(monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = [code for code in blocks("python") if "@register" in code]
    monkeypatch.setattr(registry, "_MECHANISMS", dict(registry._MECHANISMS))
    exec(example, {"__name__": "example"})
    module = attention.create("std", use_bias=False)
    x = jax.random.normal(jax.random.key(0), (2, 5, 4, 8))
    y, variables = module.init_with_output(jax.random.key(1), x)
    expected = x * jax.nn.sigmoid(jnp.std(x, axis=(1, 2)))[:, None, None]
    assert jnp.allclose(y, expected, atol=1e-6)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == 8


def test_the_table_of_mechanisms_is_complete() -> None:
    rows = {
        name: line
        for line in README.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    assert set(rows) == set(attention.names())
    for name, line in rows.items():
        mechanism = attention.describe(name)
        listed = set(re.findall(r"\w+", line.split("|")[4]))
        assert set(mechanism.options) <= listed, name
        assert (mechanism.slot == "conv") == ("conv" in line.split("|")[3])


def test_every_file_and_config_named_exists() -> None:
    for path in re.findall(r"(?:configs|chanattn|tests)/[\w/]+\.(?:py|md)", README):
        assert (ROOT / path).exists() or path.endswith("attention/std.py"), path
    for path in re.findall(r"--config=(configs/\w+\.py)", README):
        assert (ROOT / path).is_file(), path
