"""The page shows the samples of one run, and links to what else runs have drawn."""

import base64
import re
from pathlib import Path
from urllib.parse import unquote

from fake_sweep import write_sweep

from chanattn.report.read import read_sweep
from chanattn.report.sweep_report import write_report


def test_samples_stand_on_the_page_and_the_others_are_linked(tmp_path: Path) -> None:
    write_sweep(tmp_path / "s", {"none": [0.5, 0.6], "se": [0.7, 0.8]})
    plain = write_report(tmp_path / "s").read_text()
    assert "Examples of" not in plain
    _, one, other, _ = (run.directory for run in read_sweep(tmp_path / "s").runs)
    (one / "samples.png").write_bytes(b"one")
    (other / "samples.png").write_bytes(b"other")
    (other / "evaluation").mkdir()
    (other / "evaluation" / "a #1-classes.png").write_bytes(b"")
    page = write_report(tmp_path / "s").read_text()
    assert page.count(f"Examples of {one.parent.name}/{one.name}") == 1
    assert page.count("data:image/png;base64," + base64.b64encode(b"one").decode()) == 1
    assert base64.b64encode(b"other").decode() not in page
    links = re.findall(r'href="(\.\./[^"]*png)"', page)
    assert [Path(unquote(link)).name for link in links] == [
        "samples.png",
        "samples.png",
        "a #1-classes.png",
    ]
    assert all((tmp_path / "s" / "report" / unquote(link)).exists() for link in links)
