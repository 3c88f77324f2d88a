"""The demo replaces its own run directories and nothing else."""

from pathlib import Path

import pytest

from chanattn.demo import renew
from chanattn.errors import UsageError
from chanattn.runs.metric import EARLIER
from chanattn.training.run_directory import open_run
from configs import digits


def test_own_run_is_deleted(tmp_path: Path) -> None:
    open_run(tmp_path / "se", digits.get_config("se"), EARLIER)
    renew(tmp_path / "se", digits.get_config("se"))
    assert not (tmp_path / "se").exists()


def test_absent_and_empty_folders_are_fine(tmp_path: Path) -> None:
    renew(tmp_path / "se", digits.get_config("se"))
    renew(tmp_path, digits.get_config("se"))
    assert tmp_path.exists()


def test_run_of_something_else_is_left_alone(tmp_path: Path) -> None:
    open_run(tmp_path / "se", digits.get_config("eca"), EARLIER)
    with pytest.raises(UsageError, match="something else"):
        renew(tmp_path / "se", digits.get_config("se"))
    assert (tmp_path / "se" / "config.json").exists()


def test_folder_that_is_no_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(UsageError, match="something else"):
        renew(tmp_path, digits.get_config("se"))
    assert (tmp_path / "thesis.tex").exists()
