"""Where only the library has been installed, its import fails, and says what to install.

    import chanattn.laboratory  # noqa: F401

The parts of the laboratory import it before all else.
"""

import importlib.util
import sys

from chanattn.errors import needs_laboratory

# What the library's own requirements do not bring, and parts of the laboratory cannot be imported without.
_MODULES = ("ml_collections", "cv2")
_USAGE = 2


def _program_starts() -> bool:
    """Whether `python -m chanattn...` imports what its module lies in, before any code of it runs."""
    looking = sys.argv[:1] == ["-m"]  # what Python puts there meanwhile
    return looking and any(word.startswith("chanattn.") for word in sys.orig_argv)


def _check() -> None:
    for name in _MODULES:
        if importlib.util.find_spec(name) is None:
            if _program_starts():
                print(f"error: {needs_laboratory('this program', name)}", file=sys.stderr)
                sys.exit(_USAGE)
            raise ModuleNotFoundError(needs_laboratory("this part of chanattn", name), name=name)


_check()
