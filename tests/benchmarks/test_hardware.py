"""What is known of the machine."""

import os
import time

import pytest

from benchmarks.interference import Watch
from chanattn.analysis.hardware import describe, hardware, usable_cores, use_cores


def test_hardware_fits_in_a_line() -> None:
    machine = hardware()
    assert machine["cores"] == usable_cores() >= 1
    assert machine["memory_gb"] > 0.1
    assert machine["cpu"] in describe(machine)
    assert "\n" not in describe(machine)


def test_more_cores_than_there_are_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be given"):
        use_cores(usable_cores() + 1)


def test_own_work_is_not_interference() -> None:
    everything, others = Watch([]), Watch([os.getpid()])
    begun, worked = time.monotonic(), time.process_time()
    while time.process_time() < worked + 0.3:
        pass
    shares = everything.share(), others.share()
    elapsed = time.monotonic() - begun
    if None in shares:
        pytest.skip("no /proc here")
    # Ticks of the clock are 10 ms.
    assert shares[0] - shares[1] == pytest.approx(0.3 / elapsed / usable_cores(), rel=0.25)
