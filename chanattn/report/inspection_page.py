"""`inspection/index.html`: an inspection to look through, in one file that needs nothing but itself."""

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from chanattn.files import write_text
from chanattn.labels import labels, one_line
from chanattn.runs.inspection import Inspection
from chanattn.runs.layout import INSPECTION, INSPECTION_PAGE


def write_inspection_page(
    run: Path, inspection: Inspection, thumbnails: Mapping[int, bytes]
) -> Path:
    """Writes the page beside the numbers.

    Args:
        run: the run directory.
        inspection: the numbers.
        thumbnails: PNGs of the pictures that it names, by their numbers; those that lack are left out.

    Raises:
        OSError: it cannot be written.
    """
    path = run / INSPECTION / INSPECTION_PAGE
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, inspection_page(inspection, thumbnails))
    return path


def inspection_page(inspection: Inspection, thumbnails: Mapping[int, bytes]) -> str:
    """The page; see `write_inspection_page`."""
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("chanattn.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    scripts = [
        _source(templates, name) for name in ("drawing.js", "inspection.js", "inspected_module.js")
    ]
    script = "\n".join([*scripts, "show();"])
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    values = dict(inspection.values)
    told = {
        **values,
        "classes": list(labels(map(str, values["classes"])).values()),
        "thumbnails": {
            str(number): base64.b64encode(png).decode() for number, png in thumbnails.items()
        },
    }
    return templates.get_template("inspection.html").render(
        title=f"Inspection of {one_line(str(values['name']))}",
        data=_harmless(told),
        style=_source(templates, "style.css") + _source(templates, "inspection.css"),
        script=script,
        policy=(
            "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:;"
            f" style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
        ),
    )


def pictures_of(values: Mapping[str, Any]) -> list[int]:
    """The numbers of all pictures that an inspection names, rising."""
    found = {int(picture["index"]) for picture in values["single_pictures"]}
    found |= {int(picture["another"]) for picture in values["single_pictures"]}
    for module in values["modules"]:
        lists = [module["strongest_response"], *(site["strongest"] for site in module["sites"])]
        found |= {int(index) for each in lists for unit in each for index in unit["index"]}
    return sorted(found)


def _harmless(values: Any) -> str:
    """JSON that no name in it can end, inside of an element `script`."""
    text = json.dumps(values, allow_nan=False, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _source(templates: jinja2.Environment, name: str) -> str:
    assert templates.loader is not None
    return templates.loader.get_source(templates, name)[0]
