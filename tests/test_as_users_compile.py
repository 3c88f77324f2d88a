"""Programs as users run them equal the references, too: the other tests compile without optimisation."""

import subprocess
import sys

from tests.conftest import ROOT

TESTS = (
    "tests/training/test_golden.py::test_training_equals_that_of_pytorch[seresnet_basic_sgd]",
    "tests/models/test_reference_networks.py::test_network_equals_the_reference[ecaresnet_d]",
)


def test_a_training_and_a_network_equal_their_references() -> None:
    command = [sys.executable, "-m", "pytest", "--optimised", "-n", "0", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, *TESTS], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
