"""What is known of the machine."""

import os
import threading

import pytest

from chanattn.analysis.hardware import describe, hardware
from chanattn.cores import CORES, confine, core_numbers, usable_cores, use_cores


def test_hardware_fits_in_a_line():
    machine = hardware()
    assert machine["cores"] == usable_cores() >= 1
    assert machine["memory_gb"] > 0.1
    assert machine["cpu"] in describe(machine)
    assert "\n" not in describe(machine)
    assert " with AVX2, " in describe(machine | {"vectors": "AVX2"})
    assert " with " not in describe({k: v for k, v in machine.items() if k != "vectors"})


def test_more_cores_than_there_are_are_refused():
    with pytest.raises(ValueError, match="cannot be given"):
        use_cores(len(core_numbers()) + 1)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system cannot do it")
@pytest.mark.parametrize("named", ["its last", "100000", "", "two"])
def test_a_process_is_confined_to_the_cores_that_are_named_if_they_are_its_own(monkeypatch, named):
    every = core_numbers()
    monkeypatch.setenv(CORES, str(every[-1]) if named == "its last" else named)
    seen = []
    thread = threading.Thread(target=lambda: [confine(), seen.append(core_numbers())])
    thread.start()  # a thread of its own: what it does to itself does not reach the others
    thread.join()
    assert seen == [every[-1:] if named == "its last" else every]
