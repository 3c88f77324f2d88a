"""Errors that end a program in an orderly way, with an exit code of their own."""


class UsageError(ValueError):
    """A flag, config or input that cannot work.

    The message is one line that names the mistake and the fix. Command-line programs print it without a
    traceback and exit with code 2 (see `chanattn.cli`).
    """


class Preempted(Exception):
    """The training was told to stop and has saved its state: exit code 75, start again to continue."""


class NonFinite(ArithmeticError):
    """The loss or a weight is no longer a finite number; the last checkpoint is from before that.

    Ends a program with its message, which names the step, and exit code 1.
    """


def did_you_mean(name: str, valid: list[str] | tuple[str, ...]) -> str:
    """` Did you mean 'x'?` for a near miss, else an empty string."""
    import difflib

    near = difflib.get_close_matches(name, valid, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def visible(message: str) -> str:
    """A message whose names can neither break its line nor command the terminal.

    Characters that are not printable are escaped; only before the lines of a list, which are indented, breaks
    stay.
    """
    return "\n  ".join(
        "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
        for line in message.split("\n  ")
    )
