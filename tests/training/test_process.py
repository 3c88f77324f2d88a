"""A run, or the library, leaves its process as it was: what else happens there is not influenced."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from process_state import differences, snapshot
from small_runs import tiny_config

from chanattn import cli
from chanattn.errors import UsageError
from chanattn.layers import kernels
from chanattn.training import allocator, process
from chanattn.training import mesh as meshes
from chanattn.training.evaluate import evaluate_run
from chanattn.training.loop import train_and_evaluate

ROOT = Path(__file__).resolve().parents[2]


def config(**changes):
    """A short run that sets whatever a run can set."""
    c = tiny_config(log_every=1, eval_every=2, checkpoint_every=2, kernels="xla", **changes)
    c.steps, c.platform, c.deterministic = 2, "cpu", True
    return c


@pytest.mark.usefixtures("tiny_runs")
def test_a_run_and_its_evaluation_leave_the_process_as_it_was(tmp_path):
    jax.devices()  # that JAX starts cannot be taken back
    before, choice = snapshot(), kernels.choice()
    train_and_evaluate(config(compilation_cache=str(tmp_path / "compiled")), tmp_path / "run")
    assert any((tmp_path / "compiled").rglob("*-cache"))
    assert not differences(before, snapshot())
    assert kernels.choice() == choice
    evaluate_run(tmp_path / "run", kernels="plain")
    assert not differences(before, snapshot())
    assert kernels.choice() == choice


@pytest.mark.usefixtures("tiny_runs")
def test_a_program_that_fails_leaves_the_process_as_it_was(tmp_path, monkeypatch):
    def main():
        changed.update(differences(before, snapshot()))
        train_and_evaluate(config(batch_size=1000), tmp_path / "run")

    jax.devices()
    monkeypatch.setenv("MPLBACKEND", "agg")  # which a program sets for good
    before, changed = snapshot(), {}
    with pytest.raises(SystemExit) as left:
        cli.run(main, argv=["train.py"])
    assert left.value.code == cli.USAGE
    assert not changed
    assert not differences(before, snapshot())


def test_a_setting_that_was_there_is_put_back(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=somewhere")
    monkeypatch.delenv("PJRT_NPROC", raising=False)

    @process.as_before()
    def fail():
        os.environ["XLA_FLAGS"] += " --more"
        os.environ["PJRT_NPROC"] = "7"
        kernels.choose("xla")
        jax.config.update("jax_platforms", "tpu")
        raise UsageError

    with kernels.chosen("plain"):
        before = snapshot()
        with pytest.raises(UsageError):
            fail()
        assert not differences(before, snapshot())
        assert kernels.choice() == "plain"


class MallocInformation(ctypes.Structure):
    """The beginning of `struct mallinfo2`, and room for the rest."""

    _fields_ = (
        ("arena", ctypes.c_size_t),
        ("ordblks", ctypes.c_size_t),
        ("smblks", ctypes.c_size_t),
        ("hblks", ctypes.c_size_t),
        ("rest", ctypes.c_size_t * 6),
    )


def test_the_allocator_keeps_memory_for_a_while():
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallinfo2"):
        pytest.skip("another C library than glibc")
    libc.mallinfo2.restype = MallocInformation
    libc.malloc.restype = ctypes.c_void_p

    def taken():
        """How many blocks the kernel maps for a large one that is asked for."""
        before = libc.mallinfo2().hblks
        block = ctypes.c_void_p(libc.malloc(ctypes.c_size_t(100 << 20)))
        after = libc.mallinfo2().hblks
        libc.free(block)
        return after - before

    assert taken() == 1
    with process.as_before():
        allocator.keep_freed_memory()
        assert taken() == 0
    assert taken() == 1


@pytest.mark.parametrize(
    ("platforms", "installed", "expected"),
    [
        ("cpu", {"jax_plugins"}, 1),
        (None, set(), 1),
        (None, {"jax_plugins"}, 0),
        (None, {"libtpu"}, 0),
    ],
)
def test_the_allocator_is_told_only_where_no_accelerator_can_be_found(
    monkeypatch, platforms, installed, expected
):
    told = []
    monkeypatch.setattr(meshes, "keep_freed_memory", lambda: told.append(None))
    monkeypatch.setattr(meshes, "find_spec", lambda name: name in installed)
    monkeypatch.setattr(meshes, "_devices", lambda platform: jax.devices())
    with process.as_before():
        jax.config.update("jax_platforms", platforms)
        meshes.setup(tiny_config(platform="auto"))
    assert len(told) == expected


def test_importing_and_calling_the_library_leaves_the_process_as_it_was():
    program = """
import importlib, pkgutil
import flax.linen, jax, numpy as np, process_state
x = jax.numpy.ones((1, 8, 8, 8))
jax.jit(lambda x: x @ x)(np.eye(9)).block_until_ready()
before = process_state.snapshot()
for name in ("attention", "layers", "models", "interop", "onednn", "macs"):
    module = importlib.import_module(f"chanattn.{name}")
    for found in pkgutil.iter_modules(getattr(module, "__path__", [])):
        if found.name != "__main__":
            importlib.import_module(f"{module.__name__}.{found.name}")
from chanattn.attention import create
from chanattn.layers import Conv
for module in (create("se", reduction=2), Conv(8)):
    module.init(jax.random.key(0), x)
print(process_state.differences(before, process_state.snapshot()))
"""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "{}"
