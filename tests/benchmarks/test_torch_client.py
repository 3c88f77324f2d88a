"""The PyTorch process: what it may import, and what is said when it cannot start."""

import ast
import importlib.util
import os
import sys
from pathlib import Path

import pytest

from benchmarks.torch_client import TorchProcess
from chanattn.errors import UsageError
from tests.conftest import ROOT

FILES = (
    "__init__.py",
    "torch_peer.py",
    "torch_networks.py",
    "torch_table.py",
    "torch_tasks.py",
)


def start(python: str) -> None:
    with TorchProcess(Path(python), threads=1, device="cpu", environment=dict(os.environ)):
        pass


@pytest.mark.parametrize("name", FILES)
def test_its_interpreter_needs_nothing_of_ours(name: str) -> None:
    allowed = {*sys.stdlib_module_names, "torch", "timm", "numpy", "benchmarks"}
    for node in ast.walk(ast.parse(Path(ROOT, "benchmarks", name).read_text())):
        if isinstance(node, ast.Import):
            assert {alias.name.partition(".")[0] for alias in node.names} <= allowed
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None
            assert node.module.partition(".")[0] in allowed
            if node.module == "benchmarks":
                assert {f"{alias.name}.py" for alias in node.names} <= set(FILES)
            elif node.module.startswith("benchmarks"):
                assert node.module.rpartition(".")[2] + ".py" in FILES


def test_absent_interpreter() -> None:
    with pytest.raises(UsageError, match="cannot be run: No such file"):
        start("absent/bin/python")


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="torch is installed")
def test_interpreter_without_torch() -> None:
    with pytest.raises(UsageError, match=r"No module named 'torch'.*pip install torch"):
        start(sys.executable)
