"""What the machine lacks is refused before anything is written; what it does not know is shown as it can."""

import io
import os
import subprocess
import sys
import types

import jax
import pytest
import small_runs

from chanattn import cli
from chanattn.errors import UsageError
from chanattn.training import mesh, variables
from chanattn.training.evaluate import with_overrides
from chanattn.training.loop import train_and_evaluate
from tests.conftest import ROOT


class WandbError(Exception):
    pass


@pytest.fixture
def wandb_without_a_key(monkeypatch):
    def login():
        raise WandbError("No API key configured")

    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(Error=WandbError, login=login))


def test_a_run_without_a_key_of_wandb_writes_nothing(tmp_path, tiny_runs, wandb_without_a_key):
    config = small_runs.tiny_config()
    config.logging.wandb_project = "mine"
    with pytest.raises(UsageError, match="No API key configured"):
        train_and_evaluate(config, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_an_evaluation_needs_no_wandb(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    config = small_runs.tiny_config()
    config.logging.wandb_project = "mine"
    assert with_overrides(config, {}).logging.wandb_project == "mine"


@pytest.fixture
def setting():
    """Changes settings of JAX for a test."""
    before = {}

    def change(name, value):
        before.setdefault(name, getattr(jax.config, name))
        jax.config.update(name, value)

    yield change
    for name, value in before.items():
        jax.config.update(name, value)


def test_steps_that_may_not_be_compiled_are_refused(setting):
    setting("jax_disable_jit", True)
    with pytest.raises(UsageError, match="JAX_DISABLE_JIT is set"):
        mesh.setup(small_runs.tiny_config())


def test_a_folder_of_compiled_programs_that_cannot_be_made_is_refused(setting, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    setting("jax_compilation_cache_dir", str(tmp_path / "file" / "cache"))
    with pytest.raises(UsageError, match="JAX_COMPILATION_CACHE_DIR=.*Not a directory"):
        variables.check()


def test_a_folder_of_compiled_programs_may_lie_at_home_or_in_a_bucket(
    setting, tmp_path, monkeypatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    setting("jax_compilation_cache_dir", "~/cache")
    variables.check()
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "cache")
    setting("jax_compilation_cache_dir", "gs://bucket/cache")
    variables.check()
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_flags_that_xla_does_not_take_are_named(monkeypatch):
    variables.check_xla_flags("  ")
    variables.check_xla_flags("--xla_backend_optimization_level=0")
    with pytest.raises(UsageError, match=r"XLA does not take.*Unknown flag.*--xla_no_such_flag=1"):
        variables.check_xla_flags("--xla_no_such_flag=1")


def test_flags_that_are_known_to_be_taken_are_not_asked_about_again(monkeypatch):
    monkeypatch.setenv(variables.TAKEN, "--xla_no_such_flag=2")
    variables.check_xla_flags("--xla_no_such_flag=2")
    with pytest.raises(UsageError, match="XLA does not take"):
        variables.check_xla_flags("--xla_no_such_flag=2 --xla_no_such_flag=3")


def test_a_platform_that_does_not_start_is_refused(monkeypatch):
    def fails():
        raise AssertionError  # as JAX does if JAX_PLATFORMS=cuda finds no GPU

    monkeypatch.setattr(jax, "devices", fails)
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    with pytest.raises(UsageError, match="no such platform works here.*unset JAX_PLATFORMS=cuda"):
        mesh.setup(small_runs.tiny_config(platform="auto"))


def test_a_variable_that_jax_does_not_accept_is_one_line():
    ended = subprocess.run(
        [sys.executable, "eval.py", "--workdir=absent"],
        cwd=ROOT,
        env=os.environ | {"JAX_ENABLE_X64": "perhaps"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: JAX does not accept an environment variable")
    assert "JAX_ENABLE_X64" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_what_a_terminal_cannot_show_is_escaped_and_a_notebooks_backend_is_not_taken(monkeypatch):
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="ascii") for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")

    def main():
        print("caf\u00e9 \u00b1 0.1")
        assert os.environ["MPLBACKEND"] == "agg"
        raise UsageError("no class \u65e5; choose another")

    with pytest.raises(SystemExit) as caught:
        cli.run(main, argv=["program"])
    assert caught.value.code == 2
    out.flush()
    err.flush()
    assert out.buffer.getvalue() == b"caf\\xe9 \\xb1 0.1\n"
    assert err.buffer.getvalue() == b"error: no class \\u65e5; choose another\n"
