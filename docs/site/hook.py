"""What the site adds to the pages: files outside of docs/, and the list of mechanisms.

What lies outside of docs/ and is linked to becomes part of the site, without a copy in the repository.

Links are written as they are right on disk, where a code host follows them: `../results/README.md` from
a page of docs/, `docs/training.md` from the README. On the site, docs/ is the root, and beside its pages
lie the files of the repository that they link to, under their own names. So the README is its first
page. In place of `[mechanisms]`, alone on a line, stands the reference of every file that registers one.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

_ROOT = Path(__file__).resolve().parents[2]
_DOCS = _ROOT / "docs"
_MECHANISMS = _ROOT / "chanattn" / "attention"
_LINK = re.compile(r"(\]\()(?![a-z]+:)([^)\s#]+)")


def _on_site(path: Path) -> str:
    """Where a file of the repository is on the site."""
    return path.relative_to(_DOCS if path.is_relative_to(_DOCS) else _ROOT).as_posix()


def _linked(page: Path) -> Iterator[Path]:
    """The files that a page links to."""
    for match in _LINK.finditer(page.read_text(encoding="utf-8")):
        target = Path(os.path.normpath(page.parent / match[2]))
        if target.is_file() and target.is_relative_to(_ROOT):
            yield target


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the README, and whatever is linked to from there on."""
    found, new = set[Path](), [_ROOT / "README.md", *_DOCS.rglob("*.md")]
    while new:
        path = new.pop()
        if path in found:
            continue
        found.add(path)
        if path.suffix == ".md":
            new.extend(_linked(path))
        if not path.is_relative_to(_DOCS):
            files.append(File.generated(config, _on_site(path), abs_src_path=str(path)))


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links that are right on disk into links that are right on the site."""
    disk = Path(page.file.abs_src_path)
    folder = Path(page.file.src_uri).parent

    def rewritten(match: re.Match[str]) -> str:
        target = Path(os.path.normpath(disk.parent / match[2]))
        if not target.is_relative_to(_ROOT):
            return match[0]
        return match[1] + os.path.relpath(_on_site(target), folder).replace(os.sep, "/")

    markdown = _LINK.sub(rewritten, markdown)
    return re.sub(
        r"^\[mechanisms\]$", lambda _: "\n\n".join(_mechanisms()), markdown, flags=re.MULTILINE
    )


def _mechanisms() -> Iterator[str]:
    """The references, one a file."""
    for path in sorted(_MECHANISMS.glob("*.py")):
        if re.search(r"^@register\(", path.read_text(encoding="utf-8"), re.MULTILINE):
            yield f"::: chanattn.attention.{path.stem}"
