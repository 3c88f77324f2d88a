"""What a training does not need at once, it does not import: importing takes most of its start."""

import subprocess
import sys

from tests.conftest import ROOT

LATER = {
    *("matplotlib", "sklearn", "scipy", "tensorflow_datasets", "grain", "tensorboardX"),
    *("optuna", "ray", "orbax"),
}


def test_a_training_imports_what_it_may_not_need_where_it_needs_it():
    code = "import sys, chanattn.training.loop; print(*sys.modules)"
    modules = set(subprocess.check_output([sys.executable, "-c", code], text=True).split())
    assert "chanattn.training.loop" in modules
    assert not LATER & modules


def test_what_starts_the_workers_of_a_sweep_imports_neither_configs_nor_jax():
    code = "import sys, chanattn.sweep.launchers.slurm_job; print(*sys.modules)"
    modules = set(subprocess.check_output([sys.executable, "-c", code], text=True).split())
    assert "chanattn.sweep.launchers.slurm_job" in modules
    assert not {"ml_collections", "jax", "numpy", "rich"} & modules


def test_help_imports_neither_configs_nor_jax():
    code = "import sys, train; print(*sys.modules)"
    modules = set(
        subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT).split()
    )
    assert "chanattn.cli" in modules
    assert not {"ml_collections", "jax", "numpy"} & modules
