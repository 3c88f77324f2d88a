"""What a container leaves a process, read from files as Linux writes them."""

from pathlib import Path

import pytest

from chanattn import cores, limits

NO_LIMIT = "9223372036854771712"  # of memory, in version 1


def groups(
    monkeypatch: pytest.MonkeyPatch, folder: Path, own: str, files: dict[str, str]
) -> tuple[int | None, int | None]:
    """The limits where /proc/self/cgroup is `own` and /sys/fs/cgroup holds `files`."""
    (folder / "own").write_text(own)
    for name, text in files.items():
        file = folder / "groups" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")
    monkeypatch.setattr(limits, "_OWN", folder / "own")
    monkeypatch.setattr(limits, "_GROUPS", folder / "groups")
    return limits.processors(), limits.memory()


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        # A container that sees its own group as the root, as of Docker and Kubernetes.
        ("0::/\n", {"cpu.max": "200000 100000", "memory.max": "8589934592"}, (2, 2**33)),
        ("0::/\n", {"cpu.max": "150000 100000", "memory.max": "max"}, (2, None)),
        ("0::/\n", {"cpu.max": "10000 100000"}, (1, None)),
        ("0::/\n", {"cpu.max": "max 100000", "memory.max": "max"}, (None, None)),
        # A job of a batch system: its own group has no limit, one around it has.
        (
            "0::/slurm/job_7/step_0\n",
            {
                "slurm/job_7/step_0/cpu.max": "max 100000",
                "slurm/job_7/cpu.max": "400000 100000",
                "slurm/job_7/memory.max": "1073741824",
                "slurm/memory.max": "2147483648",
                "slurm/job_8/cpu.max": "100000 100000",
            },
            (4, 2**30),
        ),
        # Version 1: groups of their own for processors and for memory; -1 is no limit.
        (
            "4:memory:/docker/1f\n3:cpu,cpuacct:/docker/1f\n0::/\n",
            {
                "cpu/docker/1f/cpu.cfs_quota_us": "300000",
                "cpu/docker/1f/cpu.cfs_period_us": "100000",
                "memory/docker/1f/memory.limit_in_bytes": "4294967296",
                "memory/memory.limit_in_bytes": NO_LIMIT,
            },
            (3, 2**32),
        ),
        # The same inside of the container, which sees its own group as the root, under a name from outside.
        (
            "4:memory:/docker/1f\n3:cpu,cpuacct:/docker/1f\n",
            {
                "cpu/cpu.cfs_quota_us": "-1",
                "cpu/cpu.cfs_period_us": "100000",
                "memory/memory.limit_in_bytes": "4294967296",
            },
            (None, 2**32),
        ),
        ("", {}, (None, None)),
    ],
)
def test_the_strictest_limit_on_the_way_to_the_root_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, own: str, files: dict[str, str], expected
) -> None:
    assert groups(monkeypatch, tmp_path, own, files) == expected


def test_another_system_than_linux_has_no_limits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(limits, "_OWN", tmp_path / "absent")
    assert limits.processors() is None
    assert limits.memory() is None


def test_as_many_cores_are_used_as_a_container_has_time_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cores, "core_numbers", lambda: list(range(64)))
    groups(monkeypatch, tmp_path, "0::/", {"cpu.max": "250000 100000"})
    assert cores.usable_cores() == 3
    groups(monkeypatch, tmp_path, "0::/", {"cpu.max": "9900000 100000"})
    assert cores.usable_cores() == 64
