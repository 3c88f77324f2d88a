"""`report.html`: one page that needs nothing but itself, with a table that sorts by its headings."""

import base64
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import jinja2

from chanattn.labels import one_line
from chanattn.report import recipe
from chanattn.report.classes import heading
from chanattn.report.comparison import Comparison
from chanattn.report.environment import environment
from chanattn.report.footnotes import describe
from chanattn.report.numbers import mean_and_std
from chanattn.report.palette import Picture
from chanattn.report.read import Sweep
from chanattn.report.table import Table
from chanattn.runs.run import Run


class Section(NamedTuple):
    """What a page shows of one sweep: its table, those of the classes by number, and its pictures."""

    comparison: Comparison
    table: Table
    classes: Mapping[str, Table]
    pictures: Sequence[Picture]


def page(table: Table, sections: Sequence[Section], folder: Path) -> str:
    """The page.

    Args:
        table: what stands on top; of several sweeps the merged one.
        sections: a sweep each.
        folder: where the page will lie, for the links to the runs.
    """
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("chanattn.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = _source(templates, "sort.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return templates.get_template("report.html").render(
        table=table,
        sections=[_section(section, folder) for section in sections],
        merged=len(sections) > 1,
        style=_source(templates, "style.css"),
        script=script,
        # Whatever a name might smuggle in: nothing is loaded, and no script but this one runs.
        policy=(
            "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:;"
            f" style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
        ),
    )


def _source(templates: jinja2.Environment, name: str) -> str:
    assert templates.loader is not None
    return templates.loader.get_source(templates, name)[0]


def _section(section: Section, folder: Path) -> dict[str, Any]:
    comparison, sweep = section.comparison, section.comparison.sweep
    told = environment(sweep)
    facts = {} if told is None else told.facts()
    return {
        "label": comparison.label,
        "note": one_line(sweep.record.note),
        "table": section.table,
        "classes": {heading(comparison, name): each for name, each in section.classes.items()},
        "pictures": [_picture(p.title, p.alt, p.png) for p in section.pictures] + _of_runs(sweep),
        "recipe": {path: json.dumps(value) for path, value in recipe.shared(sweep).items()},
        "variants": [
            {
                "name": row.variant.name,
                "overrides": {p: json.dumps(v) for p, v in row.variant.overrides.items()},
                "runs": [_run(run, comparison, folder) for run in row.variant.runs],
            }
            for row in comparison.rows
        ],
        "environment": {k: describe(v) for k, v in facts.items() if v not in ({}, [], (), None)},
        "how": {key: describe(value) for key, value in sweep.record.how.items()},
        "config": one_line(sweep.record.config),
    }


def _of_runs(sweep: Sweep) -> list[dict[str, str]]:
    """Examples of the first run that has them, and what is drawn of the first that was evaluated."""
    samples = next((run for run in sweep.runs if run.samples()), None)
    evaluated = next((run for run in sweep.runs if run.pictures_of_an_evaluation()), None)
    found = []
    if samples:
        alt = "Pictures of the evaluation split, what is known of them, and what is predicted"
        for path in samples.samples():
            found.append(_picture(f"Examples of {_called(samples)}", alt, path.read_bytes()))
    if evaluated:
        alt = "Confusions of classes, numbers of each class, or precision against recall"
        for path in evaluated.pictures_of_an_evaluation():
            title = f"Evaluation of {_called(evaluated)}: {one_line(path.stem)}"
            found.append(_picture(title, alt, path.read_bytes()))
    return found


def _called(run: Run) -> str:
    return one_line("/".join(run.directory.parts[-2:]))


def _picture(title: str, alt: str, png: bytes) -> dict[str, str]:
    return {"title": title, "alt": alt, "data": base64.b64encode(png).decode()}


def _run(run: Run, comparison: Comparison, folder: Path) -> dict[str, Any]:
    seconds = run.value("seconds")
    value = comparison.metric.final(run)
    return {
        "seed": run.seed,
        "link": quote(os.fsencode(os.path.relpath(run.directory, folder))) + "/",
        "exists": run.directory.is_dir(),
        "pictures": {
            path.stem: quote(os.fsencode(os.path.relpath(path, folder)))
            for path in (*run.samples(), *run.pictures_of_evaluations())
        },
        "state": run.state,
        "value": "" if value is None else mean_and_std(value, None, comparison.metric.metric),
        "seconds": "" if seconds is None else f"{seconds:,.0f} s",
        "problem": one_line(run.problem),
    }
