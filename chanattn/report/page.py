"""`report.html`: one page that needs nothing but itself, with a table that sorts by its headings."""

import base64
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2

from chanattn.labels import one_line
from chanattn.report import recipe
from chanattn.report.comparison import Comparison
from chanattn.report.environment import environment
from chanattn.report.footnotes import describe
from chanattn.report.numbers import mean_and_std
from chanattn.report.palette import Picture
from chanattn.report.table import Table
from chanattn.runs.run import Run


def page(
    table: Table, sections: Sequence[tuple[Comparison, Table, Sequence[Picture]]], folder: Path
) -> str:
    """The page.

    Args:
        table: what stands on top; of several sweeps the merged one.
        sections: a sweep each, with its table and its pictures.
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
        sections=[_section(*section, folder) for section in sections],
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


def _section(
    comparison: Comparison, table: Table, pictures: Sequence[Picture], folder: Path
) -> dict[str, Any]:
    sweep, told = comparison.sweep, environment(comparison.sweep)
    facts = {} if told is None else told.facts()
    samples = next((path for run in sweep.runs for path in run.samples()), None)
    return {
        "label": comparison.label,
        "note": one_line(sweep.record.note),
        "table": table,
        "pictures": [
            {"title": p.title, "alt": p.alt, "data": base64.b64encode(p.png).decode()}
            for p in pictures
        ],
        "samples": samples
        and {
            "title": f"Examples of {one_line('/'.join(samples.parent.parts[-2:]))}",
            "data": base64.b64encode(samples.read_bytes()).decode(),
        },
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
