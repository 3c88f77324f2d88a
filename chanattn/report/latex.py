r"""A table as LaTeX with booktabs; `\input{table.tex}` it."""

from chanattn.report.table import Table

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    **{char: "\\" + char for char in "&%$#_"},
    "±": r"$\pm$",
    "−": "$-$",
    "–": "--",
    "…": r"\dots{}",
    "·": r"$\cdot$",
}
_KNOWN = 0x250
"""Below lie the Latin letters that every engine knows; what lies above is spelled as its code point."""

HEAD = r"""% \usepackage[T1]{fontenc} \usepackage{textcomp} \usepackage{booktabs} \usepackage{graphicx}
"""


def latex(table: Table) -> str:
    """A `table` environment: caption, booktabs rules, footnotes below; scaled to the width of the line."""
    alignment = "".join("l" if column.is_text else "r" for column in table.columns)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(table.title)}}}",
        r"\resizebox{\linewidth}{!}{%",
        rf"\begin{{tabular}}{{{alignment}}}",
        r"\toprule",
        *_group_lines(table),
        _line([column.heading for column in table.columns]),
        r"\midrule",
        *(_line([cell.text for cell in row]) for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}}",
        r"\par\raggedright\footnotesize",
        *(rf"{escape(note)}\par" for note in table.footnotes),
        r"\end{table}",
    ]
    return HEAD + "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """`text`, which is one line, as LaTeX that prints it as it stands."""
    return "".join(_ESCAPES.get(char) or _known(char) for char in text)


def _known(char: str) -> str:
    return char if ord(char) < _KNOWN else f"[U+{ord(char):04X}]"


def _line(texts: list[str]) -> str:
    # Braces keep a "[" at the beginning of a row from being read as an option of the \\ before it.
    cells = [f"{{{escape(text)}}}" if text.startswith("[") else escape(text) for text in texts]
    return " & ".join(cells) + r" \\"


def _group_lines(table: Table) -> list[str]:
    groups = table.groups
    if all(not name for name, _ in groups):
        return []
    cells, rules, first = [], [], 1
    for name, span in groups:
        cells.append(rf"\multicolumn{{{span}}}{{c}}{{{escape(name)}}}" if name else "")
        if name:
            rules.append(rf"\cmidrule(lr){{{first}-{first + span - 1}}}")
        first += span
    return [" & ".join(cells) + r" \\", "".join(rules)]
