"""Progress: rates without compilation and pauses, plain lines where there is no terminal."""

import io

import pytest
from rich.console import Console

from chanattn.duration import duration
from chanattn.training.progress import Progress


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def plain() -> tuple[Console, io.StringIO]:
    output = io.StringIO()
    return Console(file=output, soft_wrap=True, highlight=False), output


def test_plain_lines_tell_step_metrics_rates_and_time_left() -> None:
    (console, output), clock = plain(), Clock()
    progress = Progress(100, 0, batch_size=32, console=console, clock=clock)
    clock.now += 30.0  # compiling
    progress.compiled(30.0)
    clock.now += 2.0
    rates = progress.update(20, {"loss": 1.25})
    progress.close()
    assert rates == {"steps_per_second": 10.0, "images_per_second": 320.0}
    assert output.getvalue().splitlines() == [
        "compiled in 30.0 s",
        "step 20/100  loss 1.25  10 steps/s  320 images/s  8 s left",
    ]


def test_pauses_count_neither_for_rates_nor_for_the_time_left() -> None:
    (console, output), clock = plain(), Clock()
    progress = Progress(30, 0, batch_size=1, console=console, clock=clock)
    progress.compiled(0.0)
    clock.now += 1.0
    with progress.paused():
        clock.now += 50.0
    clock.now += 1.0
    assert progress.update(10, {})["steps_per_second"] == 5.0
    assert output.getvalue().endswith("4 s left\n")


def test_resumed_run_counts_only_its_own_steps() -> None:
    (console, _), clock = plain(), Clock()
    progress = Progress(100, 50, batch_size=1, console=console, clock=clock)
    progress.compiled(0.0, step=51)
    clock.now += 1.0
    assert progress.update(55, {})["steps_per_second"] == 4.0


def test_update_without_a_new_step_gives_no_rate() -> None:
    (console, output), clock = plain(), Clock()
    progress = Progress(10, 0, batch_size=1, console=console, clock=clock)
    assert progress.update(0, {"loss": 2.0}) == {}
    assert output.getvalue() == "step 0/10  loss 2\n"


def test_disabled_progress_prints_nothing(capsys: pytest.CaptureFixture) -> None:
    with Progress(10, 0, batch_size=1, enabled=False) as progress:
        progress.note("a line")
        progress.update(5, {"loss": 2.0})
    assert capsys.readouterr().out == ""


def test_terminal_gets_a_bar() -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=120)
    with Progress(10, 0, batch_size=1, console=console) as progress:
        progress.update(5, {"loss": 2.0})
        progress.note("evaluated [x]")
    assert "5/10" in output.getvalue()
    assert "50%" in output.getvalue()
    assert "loss 2" in output.getvalue()
    assert "evaluated [x]" in output.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1:00 min"), (185, "3:05 min"), (7620, "2:07 h")]
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text
