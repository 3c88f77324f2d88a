"""Output whose reader goes away, and programs that are started without any."""

import io
import os
import pty
import subprocess
import sys

import pytest

from chanattn.streams import Lasting, say


class Broken(io.StringIO):
    def write(self, text):
        raise OSError(5, "Input/output error")


@pytest.mark.parametrize("stream", [Broken(), None])
def test_a_stream_that_fails_or_is_absent_raises_nothing(stream, capsys):
    lasting = Lasting(stream)
    for _ in range(3):
        assert lasting.write("text") == 4
        lasting.flush()
    told = capsys.readouterr().err
    expected = (
        "warning: stdout takes nothing any more (Input/output error); the work goes on in silence\n"
    )
    assert told == ("" if stream is None else expected)


def test_a_closed_stream_is_one_that_fails(capsys):
    stream = io.StringIO()
    stream.close()
    lasting = Lasting(stream)
    assert not lasting.isatty()
    lasting.write("text")
    assert "the work goes on in silence" in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_names_that_an_encoding_lacks_are_escaped(encoding):
    raw = io.BytesIO()
    lasting = Lasting(io.TextIOWrapper(raw, encoding=encoding))
    lasting.write("ä \u65e5 \udcff\n")
    lasting.flush()
    shown = raw.getvalue().decode(encoding)
    assert shown.endswith(" \\udcff\n")
    assert shown.startswith("ä" if encoding != "ascii" else "\\xe4")


def test_a_broken_stderr_takes_a_message_in_silence(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Broken())
    say("one", "two")


PROGRAM = """
import sys
from chanattn import cli
from chanattn.errors import Preempted
from chanattn.streams import Lasting

def main():
    stdout = Lasting(sys.stdout)
    for number in range(20000):
        print("step", number, file=stdout)
    raise Preempted("stopped")

cli.run(main, argv=["program"])
"""


def command(program, redirections=""):
    """Python, with files closed as a shell does it."""
    return ["sh", "-c", f'exec "$@" {redirections}', "sh", sys.executable, "-c", program]


@pytest.mark.parametrize("what", ["pipe", "full", "closed", "all closed"])
def test_a_program_without_an_output_ends_with_its_own_exit_code(what):
    """Python itself would end with 120, for what it cannot flush."""
    reader, writer = os.pipe()
    os.close(reader)
    stdout = {"pipe": writer, "full": os.open("/dev/full", os.O_WRONLY)}.get(what)
    closed = {"closed": ">&-", "all closed": "<&- >&- 2>&-"}.get(what, "")
    program = subprocess.run(
        command(PROGRAM, closed),
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert program.returncode == 75, program.stderr
    told = {
        "pipe": "warning: stdout takes nothing any more (Broken pipe); the work goes on in silence\n",
        "full": "warning: stdout takes nothing any more (No space left on device); "
        "the work goes on in silence\n",
    }
    assert program.stderr == ("" if what == "all closed" else told.get(what, "") + "stopped\n")


def test_what_is_printed_never_ends_in_a_file_that_took_the_number_of_a_closed_stdout(tmp_path):
    program = (
        "import os; from chanattn.streams import fill_gaps; fill_gaps();"
        f"file = open({str(tmp_path / 'log')!r}, 'w'); os.write(1, b'printed')"
    )
    subprocess.run(command(program, ">&-"), check=True)
    assert (tmp_path / "log").read_text() == ""


BAR = """
import time
from chanattn import cli
from chanattn.errors import Preempted
from chanattn.training.progress import Progress

def main():
    with Progress(100, 0, 1) as progress:
        for step in range(40):
            progress.update(step, {"loss": 1.0})
            progress.note("a line")
            time.sleep(0.02)
    raise Preempted("stopped")

cli.run(main, argv=["program"])
"""


def test_a_bar_goes_on_when_its_terminal_vanishes():
    try:
        ours, terminal = pty.openpty()
    except OSError as error:
        pytest.skip(f"no terminal can be made here: {error}")
    with subprocess.Popen(
        command(BAR), stdin=terminal, stdout=terminal, stderr=terminal
    ) as program:
        os.close(terminal)
        assert os.read(ours, 1)
        os.close(ours)
        assert program.wait(60) == 75
