"""Which part of the package imports which, read from the source; imports within functions count."""

import ast
import graphlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "chanattn"
LEAVES = {
    "class_names",
    "config",
    "duration",
    "errors",
    "fields",
    "files",
    "laboratory",
    "labels",
    "markdown",
    "paths",
    "streams",
}
"""Import nothing but each other and what lies outside of the package, without JAX."""
HEAVY = {"jax", "jaxlib", "flax", "optax", "orbax", "ml_collections"}


def imports(path: Path) -> Iterator[str]:
    """Dotted names of the modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            if node.module == "chanattn":  # from chanattn import data
                yield from (f"chanattn.{alias.name}" for alias in node.names)
            else:
                yield str(node.module)


def part(path: Path) -> str:
    """`training` of chanattn/training/loop.py, `errors` of chanattn/errors.py."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


@pytest.fixture(scope="module")
def arrows() -> dict[str, dict[str, set[str]]]:
    """By part, what it imports: `chanattn.PART` or a package from elsewhere, with the files that do."""
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for path in PACKAGE.rglob("*.py"):
        for name in imports(path):
            first, *rest = name.split(".")
            to = ".".join([first, *rest[:1]]) if first == "chanattn" else first
            if to != f"chanattn.{part(path)}":
                found[part(path)][to].add(path.relative_to(PACKAGE).as_posix())
    return found


def test_leaves_import_no_part_and_no_jax(arrows) -> None:
    for leaf in LEAVES:
        own = {to for to in arrows[leaf] if to.startswith("chanattn")}
        heavy = HEAVY & arrows[leaf].keys()
        if leaf == "config":  # `get_config` imports them where they are used
            own.remove("chanattn.attention")
            heavy.remove("ml_collections")
        assert own <= {f"chanattn.{other}" for other in LEAVES}, leaf
        assert not heavy, leaf


@pytest.mark.parametrize(("name", "more"), [("runs", set()), ("report", {"runs"})])
def test_files_of_runs_and_reports_stand_on_nothing_that_computes(arrows, name, more) -> None:
    allowed = {f"chanattn.{other}" for other in LEAVES | more}
    own = {to: files for to, files in arrows[name].items() if to.startswith("chanattn")}
    if name == "report":  # a command line, which lies in its package
        assert own.pop("chanattn.cli") == {"report/__main__.py"}
    assert own.keys() <= allowed, {to: own[to] for to in own.keys() - allowed}
    assert not HEAVY & arrows[name].keys()


OF_THE_LABORATORY = {"__main__.py", "of_task.py", "run.py", "thumbnails.py"}
"""Files of `inspect` that load a run, its data and its task; the others are of the library."""


def test_probes_of_a_network_need_the_library_alone() -> None:
    allowed = {f"chanattn.{name}" for name in ("attention", "errors", "inspect", "labels")}
    for path in (PACKAGE / "inspect").glob("*.py"):
        found = {name for name in imports(path) if name.split(".")[0] in HEAVY | {"chanattn"}}
        own = {".".join(name.split(".")[:2]) for name in found if name.startswith("chanattn")}
        if path.name in OF_THE_LABORATORY:
            assert own - allowed, path.name
            continue
        assert own <= allowed, path.name
        assert {name.split(".")[0] for name in found} <= {"chanattn", "jax", "flax"}, path.name
        within = {name.removeprefix("chanattn.inspect.") for name in found if "inspect." in name}
        assert not within & {Path(name).stem for name in OF_THE_LABORATORY}, path.name


def test_training_draws_nothing(arrows) -> None:
    assert "chanattn.report" not in arrows["training"]
    assert "matplotlib" not in arrows["training"]


def test_no_part_imports_itself_by_way_of_another(arrows) -> None:
    graph = {
        name: {to.removeprefix("chanattn.") for to in found if to.startswith("chanattn.")}
        for name, found in arrows.items()
    }
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle
