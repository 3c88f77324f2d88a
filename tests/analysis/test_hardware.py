"""What is known of the machine."""

import pytest

from chanattn.analysis.hardware import describe, hardware
from chanattn.cores import usable_cores, use_cores


def test_hardware_fits_in_a_line():
    machine = hardware()
    assert machine["cores"] == usable_cores() >= 1
    assert machine["memory_gb"] > 0.1
    assert machine["cpu"] in describe(machine)
    assert "\n" not in describe(machine)


def test_more_cores_than_there_are_are_refused():
    with pytest.raises(ValueError, match="cannot be given"):
        use_cores(usable_cores() + 1)
