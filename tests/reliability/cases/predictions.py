"""Pictures to predict on, and networks to do it: absent, broken, or named by flags that do not fit."""

import struct

from tests.reliability.case import Case
from tests.reliability.cases.data_sets import FLOATS, JPEG
from tests.reliability.cases.runs import sweep
from tests.reliability.cases.weights import net
from tests.reliability.making import both, data, run, text, tiny

PREDICT = "predict.py --workdir=RUN"
WEIGHTS = (
    "predict.py --config=tiny.py:simam --config.model.shortcut=projection --weights=net.safetensors"
)
HUGE = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 40_000, 40_000)

a_picture = data("a.jpg", JPEG)

CASES = (
    Case("without a run", "predict.py a.jpg", a_picture),
    Case("on nothing", PREDICT, run),
    Case("by what is no run", f"{PREDICT} a.jpg", a_picture),
    Case("by a sweep", "predict.py --workdir=S a.jpg", both(sweep, a_picture)),
    Case("on a picture that is absent", f"{PREDICT} a.jpg", run),
    Case("on a pattern without matches", f"{PREDICT} *.webp", run),
    Case("on a folder without pictures", f"{PREDICT} D", both(run, text("D/a.txt", "a"))),
    Case("on an address", f"{PREDICT} https://example.org/a.jpg", run),
    Case("on a broken picture", f"{PREDICT} a.jpg", both(run, data("a.jpg", JPEG[:-20]))),
    Case("on an empty picture", f"{PREDICT} a.jpg", both(run, data("a.jpg", b""))),
    Case("on pictures of other types", f"{PREDICT} D", both(run, data("D/a.tif", FLOATS))),
    Case("on a huge picture", f"{PREDICT} a.png", both(run, data("a.png", HUGE))),
    Case("with the best none", f"{PREDICT} a.jpg --top=0", a_picture),
    Case("of a step that is absent", f"{PREDICT} a.jpg --step=7", both(run, a_picture)),
    Case("of a step that cannot be", f"{PREDICT} a.jpg --step=last", a_picture),
    Case("into a folder", f"{PREDICT} a.jpg --json=RUN", both(run, a_picture)),
    Case("drawn into a file", f"{PREDICT} a.jpg --save=a.jpg", both(run, a_picture)),
    Case("by weights without a config", "predict.py --weights=net.safetensors a.jpg", net),
    Case("by weights and a run", f"{WEIGHTS} --workdir=RUN a.jpg", both(net, a_picture)),
    Case("by a config without weights", "predict.py --config=tiny.py a.jpg", tiny),
    Case("with classes for a run", f"{PREDICT} a.jpg --classes=a.json", a_picture),
    Case(
        "with names that are no list",
        f"{WEIGHTS} --classes=a.json a.jpg",
        both(net, a_picture, text("a.json", '{"cat": 0}')),
    ),
    Case(
        "with too few names",
        f"{WEIGHTS} --classes=a.json a.jpg",
        both(net, a_picture, text("a.json", '["cat", "dog"]')),
    ),
)
