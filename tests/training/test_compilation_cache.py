"""Compiled programs outlive their process: the second one compiles nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chanattn.errors import UsageError
from chanattn.training import compilation_cache

ROOT = Path(__file__).resolve().parents[2]
# A program large enough for JAX to keep by default would take a second to compile; these are tiny.
CHILD = """
import json, sys
import jax, jax.numpy as jnp
from chanattn.training.compilation_cache import enable
events = []
jax.monitoring.register_event_listener(lambda event, **_: events.append(event.rsplit("/", 1)[-1]))
enable(sys.argv[1])
step = jax.jit(lambda w, x: w - 0.1 * jax.grad(lambda w: ((x @ w) ** 2).sum())(w), donate_argnums=0)
w = step(jnp.ones((4, 4)), jnp.arange(12.0).reshape(3, 4))
counts = {name: events.count(name) for name in ("compile_requests_use_cache", "cache_hits")}
print(json.dumps({"value": float(w.sum()), **counts}))
"""


def child(directory: Path, **variables: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(directory)],
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu"} | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_second_process_compiles_nothing_and_computes_the_same(tmp_path: Path) -> None:
    first, second = child(tmp_path), child(tmp_path)
    assert first["cache_hits"] == 0
    assert first["compile_requests_use_cache"] > 0
    assert second["cache_hits"] == second["compile_requests_use_cache"]
    assert second["compile_requests_use_cache"] == first["compile_requests_use_cache"]
    assert second["value"] == first["value"]


def test_the_settings_serve_other_processes_as_environment_variables(tmp_path: Path) -> None:
    settings = compilation_cache.settings(tmp_path / "new")
    assert Path(str(settings["jax_compilation_cache_dir"])).parent == tmp_path / "new"
    variables = {name.upper(): str(value) for name, value in settings.items()}
    code = (
        "import json, jax; print(json.dumps([getattr(jax.config, name) for name in "
        f"{list(settings)}]))"
    )
    environment = os.environ | variables
    answer = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
    assert json.loads(answer) == list(settings.values())


def test_a_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot keep compiled programs in .*file"):
        compilation_cache.settings(tmp_path / "file")
