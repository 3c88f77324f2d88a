"""Puts a run or a sweep into one file, and makes a directory of it again, on this machine or another.

    python -m chanattn.packing pack runs/cifar10-se cifar10-se.tar
    python -m chanattn.packing unpack cifar10-se.tar runs/cifar10-se

The unpacked run is resumed, evaluated and reported on like the original. Nothing is overwritten.
Exit codes: 0 done, 2 bad arguments, a run that is being trained, a file that is no pack, or no room (nothing
is written), 1 anything else.
"""

import signal
import sys
from typing import NoReturn

from chanattn import cli
from chanattn.errors import UsageError, visible
from chanattn.paths import to_path

VERBS = ("pack", "unpack")


def main(arguments: list[str]) -> None:
    """Packs or unpacks as the command line says."""
    if len(arguments) != 3 or arguments[0] not in VERBS:
        raise UsageError(
            "say what to do: python -m chanattn.packing pack RUN FILE.tar, or unpack FILE.tar RUN"
        )
    from chanattn.packing import archive  # of the laboratory: what lacks it is told by `cli.run`

    source, target = map(to_path, arguments[1:])
    signal.signal(signal.SIGTERM, _leave)  # what is half made is removed
    try:
        count = getattr(archive, arguments[0])(source, target)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    print(visible(f"{arguments[0]}ed {count} files: {target}"))


def _leave(number: int, frame: object) -> NoReturn:
    del frame
    sys.exit(128 + number)


if __name__ == "__main__":
    cli.run(main, positionals=True)
