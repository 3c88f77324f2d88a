"""Code blocks of the pages."""

import re
from pathlib import Path

from tests.conftest import ROOT


def blocks(page: str | Path, language: str) -> list[str]:
    """The blocks of one language in a page, which is told by its path in the repository."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)
