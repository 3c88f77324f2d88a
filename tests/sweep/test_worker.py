"""When a worker leaves that could stay."""

import json
import os

from chanattn.sweep import worker


def test_a_worker_whose_memory_has_grown_too_much_leaves_behind_a_run(
    tmp_path, monkeypatch
) -> None:
    memory = iter((10**9, 10**9, 2 * 10**9, 4 * 10**9))
    monkeypatch.setattr(worker, "_memory", lambda: next(memory))
    monkeypatch.setattr(worker, "_print_to", lambda folder: None)
    jobs, to_jobs = os.pipe()
    done, to_done = os.pipe()
    for seed in range(3):
        os.write(to_jobs, f"{json.dumps({'workdir': str(tmp_path / str(seed))})}\n".encode())
    told = list(worker._further(jobs, to_done))
    assert [each["workdir"] for each in told] == [str(tmp_path / "0"), str(tmp_path / "1")]
    assert os.read(done, 10) == worker.DONE + worker.DONE + worker.LEAVES
    for end in (to_jobs, done, to_done):
        os.close(end)
