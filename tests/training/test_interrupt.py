"""Signals are noted, once, and only inside the block."""

import os
import signal
import threading

import pytest

from chanattn.training.interrupt import Interrupt


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_noted_and_further_ones_change_nothing(number):
    before = [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)]
    with Interrupt() as interrupt:
        assert not interrupt.received()
        os.kill(os.getpid(), number)
        assert interrupt.received()
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupt.name == number.name
        assert interrupt.received_anywhere()
    assert [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)] == before


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
