"""What the source never does: run data as code, unpack blindly, default a config field; and its bounds."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.conftest import ROOT

PROGRAMS = [
    path
    for place in ("chanattn", "configs", "benchmarks", "train.py", "eval.py", "predict.py")
    for path in (sorted((ROOT / place).rglob("*.py")) or [ROOT / place])
]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
CONFIGS = re.compile(r"(.*[._])?(config|recipe|cfg|trained|dataset|c|ConfigDict\(.*\))")
# Parts of a config by the names that they have in recipes, as in `config.model.attention.get(...)`.
PARTS = re.compile(r"(config|recipe|cfg|trained|c)(\.\w+)+")


def keywords(call: ast.Call) -> dict[str | None, str]:
    return {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}


def unpickles(name: str, call: ast.Call) -> bool:
    given = keywords(call)
    if name == "torch.load":
        return given.get("weights_only") != "True"
    if name.endswith("joblib.load"):
        return True
    return (
        name in {"np.load", "numpy.load", "jnp.load"}
        and given.get("allow_pickle", "False") != "False"
    )


def unpacks_blindly(name: str, call: ast.Call) -> bool:
    """`extract` and `extractall` write where the archive says; tar files have filters against that."""
    method = name.rpartition(".")[2]
    if method in {"extract", "extractall"}:
        return keywords(call).get("filter") not in {"'data'", '"data"'}
    return name == "shutil.unpack_archive"


def builds_what_yaml_names(name: str, call: ast.Call) -> bool:
    """All of PyYAML's loaders but the safe ones can make objects of any class."""
    return name.startswith("yaml.") and "load" in name and not name.startswith("yaml.safe_load")


def defaults_a_field(name: str, call: ast.Call) -> bool:
    owner, _, method = name.rpartition(".")
    if name == "getattr" and len(call.args) == 3:
        owner, method = ast.unparse(call.args[0]), "get"
    if method not in {"get", "setdefault", "get_oneway_ref"} or not owner:
        return False
    return bool(CONFIGS.fullmatch(owner) or PARTS.fullmatch(owner))


def depends_on_the_locale(name: str, call: ast.Call) -> bool:
    """A text file without an encoding has that of the locale, which may be ASCII."""
    method = name.rpartition(".")[2]
    given = keywords(call)
    words = [*map(ast.unparse, call.args), *given.values()]
    if "encoding" in given or any(re.fullmatch(r"'[rwax+]*b[rwax+]*'", word) for word in words):
        return False
    if name in {"open", "os.fdopen"} or method == "read_text":
        return True
    if method == "open":  # `Path.open`, told from `tarfile.open` and such by its mode
        return any(re.fullmatch(r"'[rwax+]+'", word) for word in words)
    return method == "write_text" and name != "write_text"


RULES: dict[Callable[[str, ast.Call], bool], tuple[list[str], list[str]]] = {
    unpickles: (
        ["torch.load(p)", "np.load(p, allow_pickle=True)", "joblib.load(p)"],
        ["torch.load(p, weights_only=True)", "np.load(p)", "json.load(f)"],
    ),
    unpacks_blindly: (
        ["tar.extractall(p)", "z.extract(m, p)", "tar.extractall(p, filter='fully_trusted')"],
        ["tar.extractall(p, filter='data')", "tar.extractfile(m)"],
    ),
    builds_what_yaml_names: (
        ["yaml.load(s)", "yaml.full_load(s)", "yaml.unsafe_load(s)", "yaml.load_all(s, Loader=a)"],
        ["yaml.safe_load(s)", "json.load(f)"],
    ),
    depends_on_the_locale: (
        ["p.read_text()", "p.write_text(s)", "open(p)", "p.open('w')", "os.fdopen(d, 'w')"],
        [
            "p.read_text(encoding='utf-8')",
            "p.open('rb')",
            "os.fdopen(d, 'wb')",
            "tarfile.open(p)",
            "write_text(p, s)",
            "p.write_text(s, encoding='utf-8')",
        ],
    ),
    defaults_a_field: (
        [
            "config.get('mixup', 0)",
            "config.model.get('x')",
            "self.config.get('x', 1)",
            "c.dataset.get('a', 2)",
            "getattr(config.optimizer, 'x', 0)",
            "self._config.setdefault('x', 1)",
        ],
        ["gates.get(gate)", "jax.config.update('x', 1)", "getattr(config, name)"],
    ),
}


# What ruff finds, by its rule: https://docs.astral.sh/ruff/rules/#flake8-bandit-s
FOUND_BY_RUFF = {
    "S102": "exec('1')",
    "S202": "import tarfile\ntarfile.open('a').extractall('b')",
    "S301": "import pickle\npickle.loads(b'')",
    "S302": "import marshal\nmarshal.loads(b'')",
    "S307": "eval('1')",
    "S506": "import yaml\nyaml.load('1')",
    "S602": "import subprocess\nsubprocess.run('ls $A', shell=True)",
    "S604": "run('ls', shell=True)",
    "S605": "import os\nos.system('ls $A')",
}


def calls(source: str) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_rule_finds_what_it_should(rule: Callable[[str, ast.Call], bool]) -> None:
    bad, good = RULES[rule]
    for source in bad:
        assert any(rule(*call) for call in calls(source)), source
    for source in good:
        assert not any(rule(*call) for call in calls(source)), source


def test_ruff_looks_for_what_no_rule_here_does() -> None:
    """`make lint` runs it on all files; here, that it would find these."""
    program = "\n".join(FOUND_BY_RUFF.values())
    for place in ("chanattn/a.py", "configs/a.py", "benchmarks/a.py", "train.py"):
        words = ["check", "--no-cache", "--output-format=json", f"--stdin-filename={place}", "-"]
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *words],
            cwd=ROOT,
            input=program,
            capture_output=True,
            text=True,
            check=False,
        )
        assert {each["code"] for each in json.loads(done.stdout)} >= FOUND_BY_RUFF.keys(), place


def test_no_program_breaks_a_rule() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{call.lineno} {rule.__name__}: {ast.unparse(call)[:80]}"
        for path in PROGRAMS
        for name, call in calls(path.read_text())
        for rule in RULES
        if rule(name, call)
    ]
    assert not found, "\n".join(found)


def test_no_module_is_imported_that_only_runs_data() -> None:
    """`pickle` is there for the name of its error, in the one file that reads pickles through PyTorch.

    YAML is what others write the names of their classes in; that it is loaded safely, a rule above says.
    """
    importing = {
        str(path.relative_to(ROOT))
        for path in PROGRAMS
        if re.search(
            r"^\s*(import|from) (yaml|_?pickle|cloudpickle|dill|joblib|marshal|shelve)\b",
            path.read_text(),
            re.M,
        )
    }
    assert importing <= {"chanattn/interop/weights.py", "chanattn/data/sources/folder_yolo.py"}


def test_tensorboard_is_started_on_loopback_in_every_example() -> None:
    texts = {path: path.read_text() for path in [*PROGRAMS, *PAGES, ROOT / "Makefile"]}
    started = [
        line
        for text in texts.values()
        for line in re.findall(r"^.*\btensorboard +--.*$", text, re.M)
    ]
    assert started
    for line in started:
        assert re.search(r"--host[= ](127\.0\.0\.1|localhost)\b", line), line
        assert "--bind_all" not in line, line


def test_the_readme_says_that_a_config_is_code() -> None:
    assert (
        "The config file is Python code: run only those you trust"
        in (ROOT / "README.md").read_text()
    )


def requirements() -> list[Requirement]:
    lines = (
        line.partition("#")[0].strip()
        for line in (ROOT / "requirements.txt").read_text().splitlines()
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"].values()
    words = [
        *filter(None, lines),
        *project["build-system"]["requires"],
        *(w for e in extras for w in e),
    ]
    audit = re.search(r"pip install --quiet '(pip-audit.*)'", (ROOT / "Makefile").read_text())
    assert audit is not None
    return [Requirement(word) for word in [*words, audit[1]]]


def unbounded(requirement: Requirement) -> bool:
    """Whether a version has no lower or no upper end; this package's own extras have none."""
    signs = {specifier.operator for specifier in requirement.specifier}
    both = bool(signs & {">=", ">"}) and bool(signs & {"<", "<="})
    return not (both or signs & {"==", "~="}) and requirement.name != "chanattn"


def test_every_requirement_has_both_ends() -> None:
    found = requirements()
    assert len(found) > 25
    assert {"jax", "safetensors", "pytest", "ray", "setuptools", "pip-audit"} <= {
        each.name for each in found
    }
    assert [str(each) for each in found if unbounded(each)] == []
    assert all(map(unbounded, map(Requirement, ("a", "a>=1", "a<2", "a!=1", "a[x]>1"))))
    assert not any(map(unbounded, map(Requirement, ("a>=1,<2", "a==1.2", "a~=1.2"))))


def test_the_bounds_admit_what_is_installed() -> None:
    """A range that excludes what the tests run on has not been tried."""
    from importlib import metadata

    for each in requirements():
        if each.name in {"chanattn", "setuptools"} or (each.marker and not each.marker.evaluate()):
            continue
        try:
            version = Version(metadata.version(each.name))
        except metadata.PackageNotFoundError:
            continue
        assert version in each.specifier, f"{each}, installed {version}"
