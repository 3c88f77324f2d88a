"""What the source never does: run data as code, unpack blindly, default a config field; and its bounds."""

import ast
import re
import tomllib
from collections.abc import Callable, Iterator

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.conftest import ROOT

PROGRAMS = [
    path
    for place in ("chanattn", "configs", "benchmarks", "train.py", "eval.py")
    for path in (sorted((ROOT / place).rglob("*.py")) or [ROOT / place])
]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
CONFIGS = re.compile(r"(.*[._])?(config|recipe|cfg|trained|dataset|c|ConfigDict\(.*\))")
# Parts of a config by the names that they have in base.py, as in `config.model.attention.get(...)`.
PARTS = re.compile(r"(config|recipe|cfg|trained|c)(\.\w+)+")


def keywords(call: ast.Call) -> dict[str | None, str]:
    return {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}


def runs_code(name: str, call: ast.Call) -> bool:
    return name in {"eval", "exec", "builtins.eval", "builtins.exec"}


def loads_yaml(name: str, call: ast.Call) -> bool:
    return re.fullmatch(r"yaml\.(\w+_)?load(_all)?", name) is not None


def unpickles(name: str, call: ast.Call) -> bool:
    given = keywords(call)
    if name == "torch.load":
        return given.get("weights_only") != "True"
    if name.endswith(("read_pickle", "joblib.load", "dill.load", "dill.loads")):
        return True
    if name in {"np.load", "numpy.load", "jnp.load"}:
        return given.get("allow_pickle", "False") != "False"
    modules = r"(_?c?pickle|cloudpickle|marshal|shelve)"
    return re.fullmatch(modules + r"\.(loads?|open|Unpickler)", name) is not None


def unpacks_blindly(name: str, call: ast.Call) -> bool:
    """`extract` and `extractall` write where the archive says; tar files have filters against that."""
    method = name.rpartition(".")[2]
    if method in {"extract", "extractall"}:
        return keywords(call).get("filter") not in {"'data'", '"data"'}
    return name == "shutil.unpack_archive"


def starts_a_shell(name: str, call: ast.Call) -> bool:
    return name in {"os.system", "os.popen"} or keywords(call).get("shell") == "True"


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
    runs_code: (
        ["eval('1')", "exec(text)"],
        ["model.eval()", "ast.literal_eval(x)", "f.exec_module(m)"],
    ),
    loads_yaml: (
        ["yaml.load(f)", "yaml.load(f, Loader=yaml.SafeLoader)", "yaml.unsafe_load(f)"],
        ["json.load(f)", "yaml.dump(f)"],
    ),
    unpickles: (
        ["pickle.load(f)", "pickle.loads(b)", "torch.load(p)", "np.load(p, allow_pickle=True)"],
        ["torch.load(p, weights_only=True)", "np.load(p)", "pickle.dumps(x)", "json.loads(s)"],
    ),
    unpacks_blindly: (
        ["tar.extractall(p)", "z.extract(m, p)", "tar.extractall(p, filter='fully_trusted')"],
        ["tar.extractall(p, filter='data')", "tar.extractfile(m)"],
    ),
    starts_a_shell: (
        ["os.system('ls')", "subprocess.run('ls', shell=True)"],
        ["subprocess.run(['ls'])"],
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


def test_no_program_breaks_a_rule() -> None:
    assert len(PROGRAMS) > 200
    found = [
        f"{path.relative_to(ROOT)}:{call.lineno} {rule.__name__}: {ast.unparse(call)[:80]}"
        for path in PROGRAMS
        for name, call in calls(path.read_text())
        for rule in RULES
        if rule(name, call)
    ]
    assert not found, "\n".join(found)


def test_no_module_is_imported_that_only_runs_data() -> None:
    """`pickle` is there for the name of its error, in the one file that reads pickles through PyTorch."""
    importing = {
        str(path.relative_to(ROOT))
        for path in PROGRAMS
        if re.search(
            r"^\s*(import|from) (yaml|_?pickle|cloudpickle|dill|joblib|marshal|shelve)\b",
            path.read_text(),
            re.M,
        )
    }
    assert importing == {"chanattn/interop/weights.py"}


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
