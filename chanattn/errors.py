"""Errors that end a program in an orderly way, with an exit code of their own."""

from collections.abc import Iterable


class UsageError(ValueError):
    """A flag, config or input that cannot work.

    The message is one line that names the mistake and the fix. Command-line programs print it without a
    traceback and exit with code 2 (see `chanattn.cli`).
    """


class Preempted(Exception):
    """The training was told to stop and has saved its state: exit code 75, start again to continue."""


class NonFinite(ArithmeticError):
    """The loss, a gradient or a weight is no longer a finite number; the last checkpoint is from before that.

    Ends a program with its message, which names the step, and exit code 1.

    Attributes:
        step: the first one (from 1) after which a value was not finite.
    """

    def __init__(self, message: str, step: int) -> None:
        super().__init__(message)
        self.step = step


class SaveFailed(OSError):
    """A checkpoint could not be written; those before it are kept.

    Ends a program with its message, one line that names the cause, and exit code 1.
    """


class RunFailed(RuntimeError):
    """Something that a run needs beside its steps has failed: its log, its directory, a thread.

    Ends a program with its message and exit code 1; what was trained is saved where that is possible.
    """


class DamagedCheckpoint(UsageError):
    """A checkpoint is not what was saved.

    Attributes:
        where: the checkpoint.
        step: of the checkpoint.
        reason: what is wrong with it.
    """

    def __init__(self, where: object, step: int, reason: str) -> None:
        super().__init__(
            f"checkpoint {where} is damaged ({reason}); choose another --step, or train on: the same command"
            " goes back to the newest good one"
        )
        self.where, self.step, self.reason = where, step, reason


def did_you_mean(name: object, valid: list[str] | tuple[str, ...]) -> str:
    """` Did you mean 'x'?` for a near miss, else an empty string; so of what is no name at all."""
    import difflib

    if not isinstance(name, str):
        return ""
    near = difflib.get_close_matches(name, valid, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def some(names: Iterable[str], most: int = 3) -> str:
    """The first of several names for a message, and how many there are beside them: `a, b, c and 4 more`."""
    listed = list(names)
    more = len(listed) - most
    return ", ".join(listed[:most]) + (f" and {more} more" if more > 0 else "")


def needs_laboratory(what: str, name: str | None) -> str:
    """One line: `what` needs the module of that name, which belongs to the laboratory; how to install it."""
    return (
        f"{what} needs {name}, which the library does without: in the clone of chanattn,"
        " pip install -e '.[lab]'"
    )


def visible(message: str) -> str:
    """A message whose names can neither break its line nor command the terminal.

    Characters that are not printable are escaped; only before the lines of a list, which are indented, breaks
    stay.
    """
    return "\n  ".join(
        "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
        for line in message.split("\n  ")
    )
