"""What `pip install .` gives: a library that needs jax, flax and numpy, and changes nothing of its host."""

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import chanattn
from tests.conftest import ROOT

LIBRARY = {"flax", "jax", "numpy"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
USE = """
import logging, os, signal, sys
def surroundings():
    signals = [signal.getsignal(number) for number in signal.valid_signals()]
    levels = {name: logging.getLogger(name).level for name in ("", "jax", "absl", "chanattn")}
    return dict(os.environ), signals, levels, sys.excepthook, sys.flags.optimize
import jax, flax, numpy
before = surroundings()
import jax.numpy as jnp
from chanattn import analysis, attention, inspect, interop, layers, macs, models
x = jax.random.normal(jax.random.key(0), (2, 4, 4, 16))
module = attention.create("se", reduction=8)
variables = module.init(jax.random.key(1), x)
gradient = jax.grad(lambda v: jnp.sum(module.apply(v, x) ** 2))(variables)
assert all(jnp.any(leaf) for leaf in jax.tree.leaves(gradient["params"]["mix"]))
network = models.create("resnet8", num_classes=3, attention="eca")
variables = jax.jit(network.init)(jax.random.key(2), jnp.zeros((1, 16, 16, 3)))
assert network.apply(variables, jnp.zeros((1, 16, 16, 3)))[0].shape == (1, 3)
assert surroundings() == before
print(attention.__file__)
"""

# Where all is installed, oneDNN too: what a caller has not asked for does not happen.
DERIVATIVES = """
import os
import flax.linen, jax, jax.numpy as jnp, process_state
jax.jit(lambda x: x @ x)(jnp.eye(3)).block_until_ready()
before = process_state.snapshot()
from chanattn import models, onednn
from chanattn.layers import BatchNorm, Conv, kernels
from chanattn.onednn import library

x = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
assert kernels.choice() == kernels.current() == kernels.UNCHOSEN == "plain"
for layer in (Conv(4), BatchNorm(train=True, act="relu")):
    variables = layer.init(jax.random.key(1), x)
    def total(v):
        return jnp.sum(layer.apply(v, x, mutable=["batch_stats"])[0] ** 2)
    jax.grad(total)(variables)

network = models.create("resnet8", num_classes=3, attention="se", zero_init_residual=False)
variables = jax.jit(network.init)(jax.random.key(2), x)
def loss(params):
    (logits, _), _ = network.apply(variables | {"params": params}, x, train=True, mutable=["batch_stats"])
    return jnp.sum(logits**2)
@jax.jit
def derivatives(p):
    slope = jax.jvp(loss, (p,), (p,))[1]
    gradient, curvature = jax.jvp(jax.grad(loss), (p,), (p,))
    return slope, gradient, curvature
slope, gradient, curvature = derivatives(variables["params"])
dot = sum(jax.tree.leaves(jax.tree.map(jnp.vdot, gradient, variables["params"])))
assert jnp.allclose(slope, dot, rtol=1e-4), (slope, dot)
leaves = jax.tree.leaves(curvature)
assert all(jnp.isfinite(leaf).all() for leaf in leaves) and any(leaf.any() for leaf in leaves)

assert library.library.cache_info().currsize == library.openmp.cache_info().currsize == 0
if os.path.exists("/proc/self/maps"):
    assert "libdnnl" not in open("/proc/self/maps").read()
changed = process_state.differences(before, process_state.snapshot())
assert not changed, changed
print(onednn.available())  # which loads it
"""


def closure(names: set[str]) -> dict[str, importlib.metadata.Distribution]:
    """Distributions that these need, by name, themselves among them."""
    found: dict[str, importlib.metadata.Distribution] = {}
    left = set(names)
    while left:
        name = left.pop()
        found[name] = importlib.metadata.distribution(name)
        needed = (Requirement(word) for word in found[name].requires or ())
        left |= {r.name for r in needed if not r.marker or r.marker.evaluate({"extra": ""})}
        left -= found.keys()
    return found


def top_level(distribution: importlib.metadata.Distribution) -> Iterator[Path]:
    """Files and folders of a distribution in site-packages."""
    folder = Path(str(distribution.locate_file("")))
    names = {file.parts[0] for file in distribution.files or ()}
    return (folder / name for name in names - {"..", "__pycache__"})


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as an installation builds it, of a copy, for building leaves files behind."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("chanattn", "pyproject.toml", "requirements.txt", "README.md", "LICENSE", "tests"):
        (source / name).symlink_to(ROOT / name)
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"),
            *("--wheel-dir", str(folder), str(source)),
        ],
        check=True,
        cwd=folder,
    )
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of modules that holds the wheel and what it requires, and nothing else that is installed."""
    folder = tmp_path_factory.mktemp("environment")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    for distribution in closure(LIBRARY).values():
        for path in top_level(distribution):
            link = folder / path.name
            if not link.is_symlink():
                link.symlink_to(path)
    return folder


def python(environment: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs Python where nothing but its own library and the environment can be imported."""
    start = f"import sys; sys.path.insert(0, {str(environment)!r}); "
    code = (
        f"import runpy; sys.argv[:] = {list(arguments)!r}; "
        f"runpy.run_module({arguments[0]!r}, run_name='__main__', alter_sys=True)"
        if len(arguments) > 1 or "\n" not in arguments[0]
        else f"exec({arguments[0]!r})"
    )
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", start + code],
        capture_output=True,
        text=True,
        check=False,
        cwd=environment,
    )


def test_the_library_requires_three_packages_without_upper_ends() -> None:
    required = [Requirement(word) for word in PROJECT["dependencies"]]
    assert {each.name for each in required} == LIBRARY
    assert {s.operator for each in required for s in each.specifier} == {">="}


def test_the_laboratory_is_what_requirements_txt_lists() -> None:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    listed = [Requirement(w) for line in lines if (w := line.partition("#")[0].strip())]
    assert [Requirement(word) for word in PROJECT["optional-dependencies"]["lab"]] == listed


def test_the_wheel_holds_the_package_its_templates_and_its_licence_alone(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {name.split("/")[0] for name in names} == {
        "chanattn",
        f"chanattn-{chanattn.__version__}.dist-info",
    }
    for path in (ROOT / "chanattn/report/templates").iterdir():
        assert f"chanattn/report/templates/{path.name}" in names
    assert "chanattn/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


@pytest.mark.slow
def test_with_its_three_packages_it_computes_and_leaves_its_host_alone(environment: Path) -> None:
    done = python(environment, USE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(environment / "chanattn/attention/__init__.py")


@pytest.mark.slow
def test_nothing_is_loaded_that_was_not_asked_for_and_networks_have_all_derivatives() -> None:
    """On a CPU that oneDNN serves; its operations, and those for XLA, have a first derivative alone."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
    own = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    done = subprocess.run(
        [sys.executable, "-c", DERIVATIVES],
        env=own | {"PYTHONPATH": path, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if done.stdout.strip() == "False":
        pytest.skip("oneDNN is not here: that nothing loads it says little")


def test_the_predictor_says_what_it_needs(environment: Path) -> None:
    done = python(environment, "import chanattn\nchanattn.Predictor\n")
    assert done.stderr.rstrip().endswith("in the clone of chanattn, pip install -e '.[lab]'")


def test_a_program_of_the_laboratory_names_what_to_install(environment: Path) -> None:
    done = python(environment, "chanattn.sweep", "--config=x.py", "--workdir=w")
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith("pip install -e '.[lab]'\n")


PARTS = (
    "analysis.cost",
    "data",
    "data.prepare",
    "prediction",
    "tasks",
    "tasks.detection",
    "training.loop",
)


def test_importing_a_part_of_the_laboratory_names_what_to_install(environment: Path) -> None:
    done = python(
        environment,
        f"""
import importlib
for part in {PARTS!r}:
    for again in range(2):
        try:
            importlib.import_module(f"chanattn.{{part}}")
        except ModuleNotFoundError as error:
            print(part, error)
""",
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.partition(" ")[0] for line in lines] == [part for part in PARTS for _ in range(2)]
    for line in lines:
        assert line.endswith("pip install -e '.[lab]'"), line


@pytest.mark.parametrize(
    "command", ["data.prepare cifar10", "demo", "packing pack RUN FILE", "analysis.cost --config=x"]
)
def test_it_is_one_line_too_where_python_imports_the_program_s_package_first(
    environment: Path, command: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-s", "-S", "-m", *f"chanattn.{command}".split()],
        env={"PYTHONPATH": str(environment)},
        capture_output=True,
        text=True,
        check=False,
        cwd=environment,
    )
    assert done.returncode == 2, done.stderr
    assert re.fullmatch(
        r"error: this program needs \w+, which .*: in the clone of chanattn, pip install -e '\.\[lab\]'\n",
        done.stderr,
    ), done.stderr


def test_a_module_that_is_missing_beside_the_laboratory_is_no_matter_of_installation(
    tmp_path: Path,
) -> None:
    program = "from chanattn import cli\ndef main():\n    import no_such_module\ncli.run(main, jax=False)\n"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert done.stderr.endswith("ModuleNotFoundError: No module named 'no_such_module'\n")


def test_the_citation_is_of_this_version() -> None:
    assert f'version: "{chanattn.__version__}"' in (ROOT / "CITATION.cff").read_text()
