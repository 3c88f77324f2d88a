"""Calls of the training program that make several steps: the same numbers, nothing due passed over."""

import itertools

import numpy as np
import pytest
from small_runs import config_of, outcome, tiny_config

from chanattn import onednn
from chanattn.data.training_data import DeviceTrainingData
from chanattn.training import pace
from chanattn.training.loop import train_and_evaluate
from chanattn.training.pace import Pace
from chanattn.training.step_program import StepProgram

needs_onednn = pytest.mark.skipif(not onednn.available(), reason="oneDNN cannot be loaded")


@pytest.fixture
def calls(monkeypatch):
    """The steps of each call of the training program that follows; there is time for any number."""
    made, call = [], StepProgram.__call__

    def counted(self, state, feed, steps=1):
        made.append(steps)
        return call(self, state, feed, steps)

    monkeypatch.setattr(StepProgram, "__call__", counted)
    monkeypatch.setattr(pace, "_SECONDS_A_CALL", 1e6)
    return made


@needs_onednn
def test_a_run_has_the_same_bits_whether_a_call_makes_one_step_or_several(
    tmp_path, calls, monkeypatch
):
    # Something is due after every 10th, 15th and 18th step, and the data get another order every 4th.
    config = config_of(steps=40, log_every=10, eval_every=15, checkpoint_every=18)
    train_and_evaluate(config, tmp_path / "several")
    ends = set(itertools.accumulate(calls))
    assert max(calls) > 1
    assert {10, 20, 30, 40, 15, 18, 36} | set(range(4, 41, 4)) <= ends
    assert max(ends) == 40

    calls.clear()
    with monkeypatch.context() as patch:
        patch.setattr(DeviceTrainingData, "steps_alike", lambda self, step: 1)
        train_and_evaluate(config, tmp_path / "one")
    assert calls == [1] * 40
    assert outcome(tmp_path / "several") == outcome(tmp_path / "one")


@pytest.mark.usefixtures("tiny_runs")
@pytest.mark.parametrize("kernels", ["auto", "xla"])
def test_a_network_with_a_convolution_of_xla_takes_one_step_a_call_on_a_cpu(
    tmp_path, calls, kernels
):
    """It would run on one core inside the program's loop."""
    train_and_evaluate(tiny_config(kernels=kernels), tmp_path / "run")
    assert calls == [1] * 24


@needs_onednn
def test_streamed_batches_take_one_step_a_call(tmp_path, calls):
    train_and_evaluate(config_of("stream", steps=8), tmp_path / "run")
    assert calls == [1] * 8


def test_a_program_that_makes_one_step_a_call_is_not_asked_for_more(mesh):
    program = StepProgram.of(lambda state, feed, seed: (state, feed), 0, mesh, repeats=False)
    with pytest.raises(ValueError, match="one step a call was asked for 2"):
        program(np.zeros(3), np.zeros(2), 2)


class Result:
    """Something that a call computes, until the clock has moved on by its time."""

    def __init__(self, clock, seconds):
        self._clock, self._seconds = clock, seconds

    def block_until_ready(self):
        self._clock[0] += self._seconds


def test_as_many_steps_are_made_a_call_as_take_a_tenth_of_a_second(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: clock[0])

    def settled(seconds_a_step, number, paced):
        found = []
        for _ in range(number):
            found.append(paced.steps)
            paced.called(paced.steps, Result(clock, seconds_a_step * paced.steps))
        return found

    paced = Pace(2)
    # Nothing is known before the third call, which waits for the first; then twice as many at most.
    assert settled(0.003, 9, paced) == [1, 1, 1, 2, 4, 8, 16, 32, 33]
    assert settled(0.03, 6, paced)[-1] == 3
    assert settled(0.5, 6, paced)[-1] == 1
