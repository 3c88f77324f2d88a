"""docs/config.md: every field of a config, as `chanattn.config` declares it.

python -m docs.generate.config_fields
"""

from collections.abc import Iterator
from pathlib import Path

from chanattn.config import FIELDS
from chanattn.fields import Field
from chanattn.markdown import escape, table

PAGE = Path(__file__).resolve().parents[1] / "config.md"

_HEAD = """\
# Every field of a config

Written by `python -m docs.generate.config_fields`; a test keeps it up to date.

A recipe, such as `configs/digits.py`, starts from these defaults and changes what it needs; the command
line changes any field, `--config.optimizer.momentum=0.95`. A value out of range, or a field that does
not apply to the task, is refused before anything is written. The options of the mechanisms are fields as
well, `--config.model.attention.reduction=8`; [the catalogue](catalogue.md) lists them.
"""


def _row(dotted: str, field: Field) -> tuple[str, ...]:
    limits = [f"Tasks: {', '.join(field.tasks)}."] if field.tasks else []
    limits += [f"Data with: {', '.join(field.data)}."] if field.data else []
    meaning = escape(" ".join([field.meaning, *limits])).replace("\\`", "`")
    return f"`{dotted}`", f"`{field.default!r}`", escape(field.rule.wanted), meaning


def _sections() -> Iterator[str]:
    sections: dict[str, list[tuple[str, Field]]] = {}
    for dotted, field in FIELDS.items():
        sections.setdefault(dotted.rpartition(".")[0], []).append((dotted, field))
    for section, fields in sections.items():
        yield f"\n## {f'`{section}`' if section else 'The run'}\n"
        rows = (_row(dotted, field) for dotted, field in fields)
        yield from table(("field", "default", "must be", "meaning"), rows)


def markdown() -> str:
    """The text of the page."""
    return "\n".join((_HEAD.rstrip(), *_sections(), ""))


if __name__ == "__main__":
    PAGE.write_text(markdown(), encoding="utf-8")
