"""Importing the data pipeline changes nothing in the process that does it."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

from chanattn import data
from chanattn.data.decode import Decoding
from tests.conftest import ROOT

SCRIPT = """
import json, logging, os, signal, sys, warnings
import cv2, jax, ml_collections, numpy
from absl import flags

def state():
    return {
        "OpenCV's threads": cv2.getNumThreads(),
        "environment": dict(os.environ),
        "level of the root logger": logging.root.level,
        "handlers of the root logger": [repr(handler) for handler in logging.root.handlers],
        "warnings": [str(item) for item in warnings.filters],
        "signals": [str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)],
        "hooks": [repr(hook) for hook in (sys.excepthook, sys.unraisablehook, sys.stdout, sys.stderr)],
        "flags are parsed": flags.FLAGS.is_parsed(),
        "TensorFlow": "tensorflow" in sys.modules,
        "slow modules": [name for name in ("tensorflow_datasets", "grain") if name in sys.modules],
        "working directory": os.getcwd(),
    }

cv2.setNumThreads(3)
before = state()
import chanattn.data
after = state()
print(json.dumps({name: [before[name], after[name]] for name in before if before[name] != after[name]}))
"""


def test_importing_changes_nothing():
    command = [sys.executable, "-c", SCRIPT]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout) == {}


def now():
    return cv2.getNumThreads(), cv2.utils.logging.getLogLevel()


@pytest.mark.parametrize("loader", ["device", "stream"])
def test_opencv_keeps_the_threads_that_it_had(
    loader, mesh, make_config, picture_folder, monkeypatch
):
    during = set()
    decode, log = cv2.imdecode, cv2.utils.logging
    loud = log.getLogLevel()
    monkeypatch.setattr(cv2, "imdecode", lambda *a: during.add(now()) or decode(*a))
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    try:
        config = make_config("folder", 4, loader=loader, data_dir=str(picture_folder), image_size=8)
        with data.training(config, mesh) as train:
            next(iter(train.feeds(0)))
            assert during == {(1, log.LOG_LEVEL_SILENT)}
        list(data.evaluation(config, mesh).feeds())
        assert now() == (3, loud) != (3, log.LOG_LEVEL_SILENT)
    finally:
        cv2.setNumThreads(before)


def test_the_last_of_several_restores_the_threads():
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    try:
        first, second = Decoding(), Decoding()
        first.__enter__()
        second.__enter__()
        first.__exit__()
        assert cv2.getNumThreads() == 1
        second.__exit__()
        assert cv2.getNumThreads() == 3
        with pytest.raises(ZeroDivisionError), Decoding():
            np.array(1 // 0)
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)
