"""What a library must not change behind its caller's back."""

import locale
import logging
import os
import random
import signal
import sys
import threading
import warnings

import jax
import numpy as np
from absl import logging as absl_logging


def snapshot():
    """All that a process has once, by what it is about."""
    loggers = [
        logging.getLogger(),
        *map(logging.getLogger, sorted(logging.root.manager.loggerDict)),
    ]
    umask = os.umask(0)
    os.umask(umask)
    return {
        "variables": dict(os.environ),
        "settings of JAX": dict(jax.config.values),
        "loggers": {
            one.name: (one.level, one.propagate, one.disabled, [*one.filters], [*one.handlers])
            for one in loggers
        },
        "absl": absl_logging.get_verbosity(),
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "hooks": (sys.excepthook, sys.unraisablehook, threading.excepthook, sys.displayhook),
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "warnings": [*warnings.filters],
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "random": (random.getstate(), np.random.get_state()[1].tolist()),
        "numpy": np.geterr(),
        "place": (os.getcwd(), umask, locale.setlocale(locale.LC_ALL), [*sys.path]),
    }


def differences(before, after):
    """The parts that have changed; a logger that is new is none."""
    after = after | {"loggers": {name: after["loggers"][name] for name in before["loggers"]}}
    return {part: (before[part], after[part]) for part in before if before[part] != after[part]}
