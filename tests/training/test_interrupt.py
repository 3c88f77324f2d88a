"""Signals are noted, once, and only inside the block; Ctrl-C can end a process that does not answer."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from chanattn.streams import STOPPING
from chanattn.training import interrupt as module
from chanattn.training.interrupt import Interrupt


def handlers():
    return [signal.getsignal(number) for number in STOPPING]


@pytest.mark.parametrize("number", STOPPING, ids=lambda number: number.name)
def test_a_signal_is_noted_and_further_ones_change_nothing(number):
    before = handlers()
    with Interrupt() as interrupt:
        assert not interrupt.received()
        os.kill(os.getpid(), number)
        assert interrupt.received()
        for other in STOPPING:
            if other != signal.SIGINT:
                os.kill(os.getpid(), other)
        assert interrupt.name == number.name
        assert interrupt.received_anywhere()
    assert handlers() == before


def test_what_is_ignored_stays_ignored():
    """As SIGHUP is under `nohup`, and SIGINT in the background of a script."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in STOPPING}
    try:
        with Interrupt() as interrupt:
            for number in STOPPING:
                os.kill(os.getpid(), number)
            assert not interrupt.received()
        assert set(handlers()) == {signal.SIG_IGN}
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_signal_that_a_library_uses_is_left_to_it():
    heard = []
    before = signal.signal(signal.SIGUSR1, lambda *_: heard.append("library"))
    try:
        with Interrupt() as interrupt:
            os.kill(os.getpid(), signal.SIGUSR1)
            assert not interrupt.received()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert heard == ["library"]


def test_handlers_are_put_back_after_an_error():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyError), Interrupt():
        raise KeyError
    assert signal.getsignal(signal.SIGTERM) is before


def test_in_another_thread_signals_keep_their_meaning():
    states = []

    def run():
        with Interrupt() as interrupt:
            states.append((interrupt.received(), signal.getsignal(signal.SIGTERM)))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert states == [(False, before)]


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_ctrl_c_twice_within_a_moment_counts_once_and_later_ends_the_process(monkeypatch, capsys):
    ended = []
    monkeypatch.setattr(module.os, "_exit", ended.append)
    monkeypatch.setattr(module, "TWICE", 3600.0)
    with Interrupt() as interrupt:
        for _ in range(5):
            os.kill(os.getpid(), signal.SIGINT)
        wait_for(lambda: "once more ends it at once" in capsys.readouterr().err)
        assert interrupt.name == "SIGINT"
        monkeypatch.setattr(module, "TWICE", 0.0)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        wait_for(lambda: ended)
    assert set(ended) == {130}


STUCK = """
import hashlib
from chanattn.training.interrupt import Interrupt
with Interrupt():
    print("stuck", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2_000_000_000)  # minutes in which Python is not asked
"""


def test_a_second_ctrl_c_ends_a_process_that_is_deep_in_a_library():
    with subprocess.Popen(
        [sys.executable, "-c", STUCK], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "stuck\n"
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGINT)
            assert "once more ends it at once" in process.stderr.readline()
            assert process.poll() is None
            time.sleep(1.1)
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130
        finally:
            process.kill()
