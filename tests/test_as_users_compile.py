"""Programs as users run them equal the references, too: the other tests compile without optimisation."""

import os
import subprocess
import sys

from tests.conftest import QUICK_COMPILATION, ROOT

TESTS = (
    "tests/training/test_golden.py::test_training_equals_that_of_pytorch[seresnet_basic_sgd]",
    "tests/models/test_reference_networks.py::test_network_equals_the_reference[ecaresnet_d]",
)


def test_a_training_and_a_network_equal_their_references() -> None:
    command = [sys.executable, "-m", "pytest", "--optimised", "-n", "0", "-p", "no:cacheprovider"]
    as_users = {name: value for name, value in os.environ.items() if name not in QUICK_COMPILATION}
    done = subprocess.run(
        [*command, *TESTS], cwd=ROOT, env=as_users, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
