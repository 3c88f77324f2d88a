"""Streaming: the same batches from any number of workers and processes; the ends of workers."""

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from chanattn import data
from chanattn.data import stream as streams
from chanattn.data.batches import TrainingBatches
from chanattn.data.fit import Fit
from chanattn.data.source import Subset
from chanattn.data.sources.synthetic import Synthetic
from chanattn.data.stream import stream
from chanattn.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]


def synthetic_batches(**changes) -> TrainingBatches:
    arguments = {"batch_size": 8, "rows": np.arange(8), "seed": 5, "max_corrupt": 0} | changes
    fit = Fit((16, 16, 3), resize=True, random=True)
    return TrainingBatches(Synthetic("train", 50, 5, (20, 20)), fit, **arguments)


def test_any_start_and_any_number_of_workers_give_the_same_batches():
    batches = synthetic_batches()
    expected = [batches[step] for step in range(3, 12)]
    for workers in (0, 2):
        iterator = stream(batches, 3, 12, workers)
        try:
            found = [{k: np.array(v) for k, v in next(iterator).items()} for _ in range(9)]
            with pytest.raises(StopIteration):
                next(iterator)
        finally:
            iterator.close()
        for a, b in zip(found, expected, strict=True):
            for name in b:
                np.testing.assert_array_equal(a[name], b[name])
    assert not multiprocessing.active_children()


def test_rows_of_two_processes_make_up_the_global_batch():
    whole, lower, upper = (
        synthetic_batches(rows=rows)[9] for rows in (np.arange(8), np.arange(4), np.arange(4, 8))
    )
    for name in ("image", "label", "index"):
        np.testing.assert_array_equal(np.concatenate([lower[name], upper[name]]), whole[name])


def test_killed_worker_is_an_error_and_no_hang(mesh, make_config):
    config = make_config("synthetic", loader="stream", workers=2, image_size=8)
    with data.training(config, mesh) as train:
        feeds = train.feeds(0)
        next(feeds)
        os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
        with pytest.raises(RuntimeError, match="terminated unexpectedly with exit code -9"):
            for _ in islice(feeds, 50):
                pass
    assert not multiprocessing.active_children()


def test_too_little_shared_memory_is_refused_before_anything_starts(mesh, make_config, monkeypatch):
    config = make_config("synthetic", 64, loader="stream", workers=2, image_size=8)
    needed = (
        64 * (8 * 8 * 3 + 4 + 4) * 14
    )  # 6 batches a worker, and 2; label and index beside the picture
    monkeypatch.setattr(streams, "_free", lambda: needed - 1)
    for make in (data.training, data.evaluation):
        with pytest.raises(
            UsageError, match=r"0 MB .* /dev/shm .*workers to fewer, or to 0"
        ) as error:
            make(config, mesh)
        assert "\n" not in str(error.value)
    monkeypatch.setattr(streams, "_free", lambda: needed)
    with data.training(config, mesh) as train:
        test = data.evaluation(config, mesh)
        with pytest.raises(UsageError, match="shared memory"):
            data.check_shared_memory(train, test)
        monkeypatch.setattr(streams, "_free", lambda: 2 * needed)
        data.check_shared_memory(train, test)
    config.dataset.workers = 0
    monkeypatch.setattr(streams, "_free", lambda: 0)
    data.evaluation(config, mesh)


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no shared memory to be looked at")
def test_no_more_shared_memory_is_taken_than_is_asked_for():
    size, batch, workers = 96, 32, 2
    whole = Synthetic("train", 500, 5, (size, size))
    batches = TrainingBatches(
        Subset(whole, np.arange(500), {"label": whole.fields["label"]}),
        Fit((size, size, 3), resize=False),
        batch_size=batch,
        rows=np.arange(batch),
        seed=0,
        max_corrupt=0,
    )
    before = {path.name for path in Path("/dev/shm").iterdir()}
    iterator = stream(batches, 0, None, workers)
    bound = streams.shared_memory(batch * size * size * 3, workers)
    most, deadline = 0, time.monotonic() + 60
    try:
        while most < bound / 2 and time.monotonic() < deadline:
            next(iterator)
            time.sleep(0.2)  # a slow consumer, so that everything fills up
            ours = [path for path in Path("/dev/shm").iterdir() if path.name not in before]
            most = max(most, sum(path.stat().st_size for path in ours if path.name[:4] == "psm_"))
    finally:
        iterator.close()
    assert bound / 2 < most < 1.1 * bound


def test_a_worker_that_finds_no_shared_memory_is_told_in_one_line(mesh, make_config):
    config = make_config("synthetic", loader="stream", workers=1, image_size=8)
    with data.training(config, mesh) as train:
        feeds = train.feeds(0)
        next(feeds)
        os.kill(multiprocessing.active_children()[0].pid, signal.SIGBUS)
        with pytest.raises(UsageError, match=r"SIGBUS: .*/dev/shm.*docker run --shm-size") as error:
            for _ in islice(feeds, 50):
                pass
        assert "\n" not in str(error.value)


def test_error_in_a_worker_is_raised_here_with_its_text(mesh, make_config, picture_folder):
    (picture_folder / "train/class0/000.png").write_bytes(b"nonsense")
    config = make_config(
        "folder", 4, loader="stream", workers=1, data_dir=str(picture_folder), image_size=8
    )
    with data.training(config, mesh) as train, pytest.raises(UsageError, match=r"000\.png"):
        for _ in islice(train.feeds(0), 20):
            pass


def run(script: str, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, script, *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


WORKERS_OF_A_KILLED_PARENT = """
import multiprocessing, time
import numpy as np
from absl import flags
from chanattn.data.batches import TrainingBatches
from chanattn.data.fit import Fit
from chanattn.data.sources.synthetic import Synthetic
from chanattn.data import stream as streams
from chanattn.data.stream import stream
from chanattn.errors import UsageError

if __name__ == "__main__":
    source = Synthetic("train", 50, 5, (8, 8))
    batches = TrainingBatches(
        source, Fit((8, 8, 3), resize=False), batch_size=8, rows=np.arange(8), seed=0, max_corrupt=0
    )
    iterator = stream(batches, 0, None, 2)
    for _ in range(4):
        next(iterator)
    assert not flags.FLAGS.is_parsed(), "the flags of a program are its own"
    print(*[child.pid for child in multiprocessing.active_children()], flush=True)
    time.sleep(100)
"""


def test_workers_do_not_outlive_a_killed_parent(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(WORKERS_OF_A_KILLED_PARENT)
    with run(str(script)) as parent:
        workers = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(workers) == 2
        for pid in workers:  # The signals of Ctrl-C and of a cluster are the parent's to handle.
            os.kill(pid, signal.SIGINT)
            os.kill(pid, signal.SIGTERM)
        time.sleep(0.3)
        assert all(alive(pid) for pid in workers)
        parent.kill()
        deadline = time.monotonic() + 10
        while any(alive(pid) for pid in workers) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not any(alive(pid) for pid in workers)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


GLOBAL_BATCHES = """
import json, sys
import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

process, processes, port, result = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
jax.config.update("jax_num_cpu_devices", 4 // processes)
if processes > 1:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"localhost:{port}", processes, process)

from chanattn import data
from configs import base

config = base.get_config()
config.batch_size = 8
config.dataset.update(
    name="synthetic", synthetic_examples=30, image_size=8, mean=(0.0,) * 3, std=(1.0,) * 3
)
config.dataset.augment.update(pad_crop=1, flip=True, mixup=0.5)
mesh = Mesh(np.array(jax.devices()), ("data",))
found = {}
for loader in ("device", "stream"):
    config.dataset.loader = loader
    with data.training(config, mesh) as train:
        # Weighted by the row, so that rows in another order are noticed.
        sums = jax.jit(
            lambda feed, step: {
                k: (v * np.arange(1, 9).reshape(8, *[1] * (v.ndim - 1))).sum()
                for k, v in train.prepare(
                    feed, step, jax.random.fold_in(jax.random.key(0), step)
                ).items()
            }
        )
        batches = []
        for step, feed in zip(range(2, 7), train.feeds(2)):
            if loader == "stream":
                local = sum(s.data.shape[0] for s in feed["image"].addressable_shards)
                assert local == 8 // processes, local
            batches.append({k: float(v) for k, v in sums(feed, np.int32(step)).items()})
        found[loader, "train"] = batches
    test = data.evaluation(config, mesh, batch_size=7)
    sums = jax.jit(lambda feed: {k: v.sum() for k, v in test.prepare(feed).items()})
    found[loader, "test"] = [{k: float(v) for k, v in sums(feed).items()} for feed in test.feeds()]
with open(result, "w") as file:
    json.dump({" ".join(k): v for k, v in found.items()}, file)
"""


def test_two_processes_see_the_same_global_batches_as_one(tmp_path):
    script = tmp_path / "batches.py"
    script.write_text(GLOBAL_BATCHES)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    files = [tmp_path / f"{i}.json" for i in range(3)]
    arguments = [("0", "2"), ("1", "2"), ("0", "1")]
    processes = [
        run(str(script), *a, port, str(file)) for a, file in zip(arguments, files, strict=True)
    ]
    try:
        for process in processes:
            _, errors = process.communicate(timeout=300)
            assert process.returncode == 0, errors
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    first, second, single = (json.loads(file.read_text()) for file in files)
    assert first == second
    for name, batches in single.items():
        if name.endswith("test"):
            assert sum(batch["mask"] for batch in batches) == 30
        assert len(first[name]) == len(batches)
        for a, b in zip(first[name], batches, strict=True):
            assert a == pytest.approx(b, rel=1e-5)
