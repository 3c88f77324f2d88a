"""Result files say how they were made, and tell nothing of where files lie."""

import json
from pathlib import Path

import pytest

from benchmarks import output


def test_a_result_file_holds_rows_hardware_and_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["startup.py", "--launches=2", f"--json={tmp_path}/a.json"])
    monkeypatch.setenv("OMP_SCHEDULE", "static")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "cache"))
    path = tmp_path / "new" / "a.json"
    output.report("startup", [{"recipe": "digits", "first_step_s": 1.5}], path)
    written = json.loads(path.read_text())
    assert written["benchmark"] == "startup"
    assert written["rows"] == [{"recipe": "digits", "first_step_s": 1.5}]
    assert written["hardware"]["cores"] > 0
    assert written["how"]["command"] == "python -m benchmarks.startup --launches=2 --json=a.json"
    assert written["how"]["variables"]["OMP_SCHEDULE"] == "static"
    assert {"python", "jax", "chanattn"} <= written["how"]["versions"].keys()
    assert str(tmp_path) not in path.read_text()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234.5, "1,234"),
        (0.12345, "0.1235"),
        (1500, "1,500"),
        ([3.0, 1.0, 2.0], "1 to 3"),
        (True, "True"),
    ],
)
def test_values_are_printed_for_people(value: object, text: str) -> None:
    assert output.cell(value) == text
