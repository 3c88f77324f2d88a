"""The README's code runs, and what it and the other pages name exists."""

import re
from pathlib import Path
from typing import Any

import pytest

from chanattn.attention import PLACEMENTS
from chanattn.attention.functional import gate
from tests.support.pages import blocks

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    path.relative_to(ROOT)
    for folder in (".", "docs", "results", "benchmarks", "tests/golden")
    for path in sorted((ROOT / folder).glob("*.md"))
    if path.name != "CHANGELOG.md"  # of files that are no more
]
#: Of files that exist: the others name what a reader writes, and mistakes.
COMPLETE = [
    path
    for path in PAGES
    if path.name not in ("CONTRIBUTING.md", "reliability.md") and "adding" not in path.name
]


def test_the_library_example_runs() -> None:
    (example,) = [code for code in blocks("README.md", "python") if "models.create" in code]
    example = example.replace("resnet50", "resnet8")  # the same, in seconds
    scope: dict[str, Any] = {}
    exec(example, scope)
    assert scope["weights"].shape == (2, 64)
    assert scope["logits"].shape == (2, 10)
    assert {"stem", "stage1", "pooled"} <= scope["endpoints"].keys()


def test_all_gates_and_places_are_named() -> None:
    page = (ROOT / "docs" / "attention.md").read_text()
    assert {*gate.names(), *PLACEMENTS} <= set(re.findall(r"`(\w+)`", page))


@pytest.mark.parametrize("page", COMPLETE, ids=str)
def test_every_file_and_config_named_exists(page: Path) -> None:
    text = (ROOT / page).read_text()
    for path in re.findall(r"(?:configs|chanattn|tests|docs)/[\w/]+\.(?:py|md)", text):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"--config=(configs/[\w/]+\.py)", text):
        assert (ROOT / path).is_file(), path


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)\s]+)\)", (ROOT / page).read_text())
    for link in links:
        path, _, heading = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        if heading:
            titles = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert heading in {re.sub(r"[^\w -]", "", t).lower().replace(" ", "-") for t in titles}
