"""The command `python -m chanattn.data.prepare`."""

import argparse
import signal
import sys
from typing import NoReturn

from chanattn.data.prepare import prepare
from chanattn.errors import UsageError, visible
from chanattn.paths import to_path


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as the other programs do."""

    def error(self, message: str) -> NoReturn:
        """Ends the program."""
        self.exit(2, f"error: {visible(message)}; --help tells what there is\n")


def main(arguments: list[str] | None = None) -> int:
    """Prepares one set; returns the exit code."""
    parser = _Parser(
        prog="python -m chanattn.data.prepare",
        description="Downloads a TFDS data set and writes it as array_record files.",
    )
    parser.add_argument("name", help="cifar10, cifar100, mnist, fashion_mnist, or any set of TFDS")
    parser.add_argument("--data_dir", help="default: $TFDS_DATA_DIR, else ~/tensorflow_datasets")
    parser.add_argument(
        "--archive", help="downloaded by hand: CIFAR's archive; else the files' folder"
    )
    options = parser.parse_args(arguments)
    # Ends through the code that removes unfinished files, as Ctrl-C does.
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        given = (options.data_dir, options.archive)
        folder = prepare(options.name, *("" if path is None else to_path(path) for path in given))
    except UsageError as error:
        print(f"error: {visible(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; nothing was written", file=sys.stderr)
        return 128 + signal.SIGINT
    finally:
        signal.signal(signal.SIGTERM, before)
    print(f"{options.name} is ready in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
