"""The pages of docs/ are true: what is generated is current, and the examples work as written."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from chanattn import attention, layers, models
from chanattn.analysis.modules import network_cost
from chanattn.attention import catalogue, mechanism, registry
from chanattn.models.blocks import BottleneckBlock
from chanattn.models.slots import resolve
from chanattn.training.evaluate import evaluate_run
from chanattn.training.loop import train_and_evaluate
from docs.generate import config_fields, does_it_matter, placements, sown
from tests.support.pages import blocks

ROOT = Path(__file__).resolve().parent.parent
CATALOGUE = ROOT / "docs" / "catalogue.md"
INSIDE, OUTSIDE = (ROOT / "docs" / "adding_a_mechanism.md").read_text().split("## 5.")
NUMBER = re.compile(r"(?<=\| )\d+\.\d\d(?= \|)")


def test_the_catalogue_is_current(monkeypatch: pytest.MonkeyPatch) -> None:
    # Gates at initialisation take a compilation each; the next test measures a few.
    monkeypatch.setattr(mechanism, "_gate_at_init", lambda module, shape: 0.5)
    written, now = CATALOGUE.read_text(), catalogue.markdown()
    again = "run: python -m chanattn.attention --markdown"
    assert NUMBER.sub("GATE", written) == NUMBER.sub("GATE", now), again


@pytest.mark.parametrize("name", ["se", "simam", "bam", "lct"])
def test_gates_at_initialisation_are_those_of_the_catalogue(name: str) -> None:
    (row,) = re.findall(rf"^\| {name} \|.*$", CATALOGUE.read_text(), re.MULTILINE)
    measured = attention.describe(name).measure(catalogue.CHANNELS, catalogue.SIZE).gate
    assert measured == pytest.approx(float(NUMBER.findall(row)[0]), abs=0.011)


def test_what_mechanisms_sow_is_current() -> None:
    assert sown.PAGE.read_text() == sown.markdown(), "run: python -m docs.generate.sown"


def test_the_fields_of_configs_are_current() -> None:
    again = "run: python -m docs.generate.config_fields"
    assert config_fields.PAGE.read_text() == config_fields.markdown(), again


def test_the_tables_of_inspected_networks_are_current() -> None:
    page = does_it_matter.PAGE.read_text(encoding="utf-8")
    assert page == does_it_matter.markdown(page), "run: python -m docs.generate.does_it_matter"


def test_a_difference_is_the_mean_over_seeds_in_points_beside_its_range() -> None:
    def seed(difference: float, low: float, high: float) -> does_it_matter.Inspection:
        found = {"top1": {"difference": difference, "difference_interval": [low, high]}}
        return {"input_matters": {"replaced": {"another": {"all": found}}}}

    seeds = [seed(-0.01, -0.02, -0.005), seed(-0.03, -0.07, 0.01)]
    assert does_it_matter.difference(seeds, "another", "top1") == "-2.00 (-3.00 to -1.00; 1 of 2)"
    assert does_it_matter.difference(seeds[:1], "another", "top1") == "-1.00 [-2.00, -0.50]"


def test_the_drawing_of_the_places_is_current() -> None:
    again = "run: python -m docs.generate.placements"
    assert placements.PICTURE.read_text() == placements.svg(), again


@pytest.mark.parametrize("placement", sorted(placements.IN_BRANCH))
def test_the_drawing_shows_the_places_of_the_network(placement: str) -> None:
    """What a bottleneck block calls, one after the other, against the row of the drawing."""
    name = "sk" if placement == "conv" else "eca"
    block = BottleneckBlock(planes=8, slots=resolve({"name": name, "placement": placement}))
    called = []

    def listen(call: Any, inputs: Any, options: Any, context: nn.module.InterceptorContext) -> Any:
        if context.method_name == "__call__" and len(context.module.path) == 1:
            kinds = {layers.Conv: "conv", layers.BatchNorm: "norm"}
            called.append(kinds.get(type(context.module), "attention"))
        return call(*inputs, **options)

    with nn.intercept_methods(listen):
        jax.eval_shape(block.init, jax.random.key(0), jnp.ones((1, 4, 4, 32)))

    drawn = []
    for number, layer in enumerate((*placements.BRANCH, "end")):
        if number in placements.IN_BRANCH[placement]:
            drawn.append("attention")
        drawn += {"norm": ["norm"], "act": [], "end": []}.get(layer, ["conv"])
    if placement in ("identity", "after_sum"):  # beside and behind the branch
        drawn.append("attention")
    if placement == "conv":
        drawn[2:4] = ["attention"]
    assert called == drawn


@pytest.mark.parametrize(
    "page", ["quickstart", "own_model", "attention", "models", "inspection"], ids=str
)
def test_the_examples_of_a_page_run(page: str) -> None:
    scope: dict[str, Any] = {}
    for number, code in enumerate(blocks(f"docs/{page}.md", "python"), start=1):
        exec(compile(code, f"docs/{page}.md, example {number}", "exec"), scope)
    assert scope, "there are no examples"


def follow(tree: Path) -> None:
    """Does in a copy of the project what sections 1, 2 and 3 say."""
    module, line, commands, test = re.findall(r"```(?:python|text|sh)\n(.*?)```", INSIDE, re.DOTALL)
    assert "python train.py" in commands
    module_path, _, test_path = re.findall(
        r"`(chanattn/attention/spread\.py|chanattn/attention/__init__\.py"
        r"|tests/attention/test_spread\.py)`",
        INSIDE,
    )
    (tree / module_path).write_text(module)
    (tree / test_path).write_text(test)
    init = tree / "chanattn" / "attention" / "__init__.py"
    text = init.read_text()
    beside = "from chanattn.attention.triplet import"
    init.write_text(text.replace(beside, line + beside))
    assert init.read_text() != text


@pytest.mark.slow
def test_the_walk_through_of_adding_a_mechanism_works(tmp_path: Path) -> None:
    for name in ("chanattn", "configs", "tests", "train.py", "pyproject.toml"):
        source = ROOT / name
        if source.is_dir():
            # With what Python has compiled: times are copied as well, so that it is not compiled again.
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("golden"))
        else:
            shutil.copy(source, tmp_path / name)
    follow(tmp_path)
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "JAX_PLATFORMS": "cpu"}

    def python(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    tests = ("tests/attention/test_spread.py", "tests/attention/test_family.py")
    assert " passed" in python("-m", "pytest", "-n", "0", "-k", "spread", *tests)
    (train,) = re.findall(r"^python (train\.py .*)$", INSIDE, re.MULTILINE)
    shorter = ("--config.steps=4", "--config.epochs=0", "--config.schedule.warmup_epochs=0")
    python(*train.split(), *shorter)
    assert (tmp_path / "runs" / "spread" / "summary.json").is_file()


@pytest.fixture
def ripple(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the two files of section 5, importable; the registry is as before afterwards."""
    for name, code in zip(
        ("ripple", "digits_ripple"),
        re.findall(r"```python\n(.*?)```", OUTSIDE, re.DOTALL),
        strict=True,
    ):
        assert f"`{name}.py`" in OUTSIDE
        (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(registry, "_MECHANISMS", dict(registry._MECHANISMS))
    yield tmp_path
    for name in ("ripple", "digits_ripple"):
        sys.modules.pop(name, None)


def test_a_mechanism_from_outside_is_trained_evaluated_and_measured(ripple: Path) -> None:
    import digits_ripple

    config = digits_ripple.get_config()
    config.model.attention.strength = 0.25
    config.epochs, config.steps = 0.0, 3
    config.schedule.warmup_epochs = 0.0
    config.logging.tensorboard = False
    train_and_evaluate(config, ripple / "run")
    found = evaluate_run(ripple / "run")
    assert found["examples"] == 355

    described = attention.describe("ripple")
    assert described.summary.startswith("A fixed wave")
    assert described.measure(16, 4).parameters == 1
    model = models.create("resnet8", num_classes=10, attention={"name": "ripple", "strength": 0.1})
    cost = network_cost(model, (16, 16, 1))
    assert cost.attention_total.parameters == 3


@pytest.mark.slow
def test_a_mechanism_from_outside_is_swept_and_reported(ripple: Path) -> None:
    (command,) = re.findall(r"^PYTHONPATH=\$PWD python (.*)$", OUTSIDE, re.MULTILINE)
    command = command.replace("digits_ripple.py", str(ripple / "digits_ripple.py"))
    command = command.replace("runs/ripple", str(ripple / "sweep"))
    short = (
        "--config.steps=3",
        "--config.epochs=0",
        "--config.schedule.warmup_epochs=0",
        "--seeds=1",
    )
    done = subprocess.run(
        [
            sys.executable,
            *command.split(),
            *short,
            "--nocost",
            "--config.logging.tensorboard=false",
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ripple)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    table = (ripple / "sweep" / "report" / "table.md").read_text()
    assert "ripple" in table
