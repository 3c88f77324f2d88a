"""Choice of devices, with as many virtual ones as the test process has."""

import os

import jax
import pytest
from ml_collections import ConfigDict

from chanattn import onednn
from chanattn.data import placement
from chanattn.errors import SaveFailed, UsageError
from chanattn.layers import kernels
from chanattn.training import mesh as meshes
from chanattn.training.run_directory import environment


def config_of(**changes):
    values = {"platform": "auto", "cpu_devices": 0, "batch_size": 16, "accumulate": 1}
    values |= {"kernels": "auto", "deterministic": False, "compilation_cache": ""}
    return ConfigDict(values | changes)


@pytest.fixture(autouse=True)
def choice_of_kernels_ends_with_the_test():
    with kernels.chosen("auto"):
        yield


class FakeDevice:
    platform, device_kind = "cpu", "cpu"

    def __init__(self, number, process):
        self.id, self.process_index = number, process


@pytest.fixture
def devices(monkeypatch):
    """`devices(n, processes)` makes JAX claim n devices in each process; returns what the mesh is made of."""

    def claim(number, processes=1):
        claimed = [FakeDevice(i, i // number) for i in range(number * processes)]
        monkeypatch.setattr(jax, "devices", lambda platform=None: claimed)
        monkeypatch.setattr(jax, "make_mesh", lambda *args, devices, **kwargs: devices)

    return claim


@pytest.mark.parametrize(
    ("available", "processes", "batch", "accumulate", "used"),
    [
        (4, 1, 16, 1, 4),
        (6, 1, 16, 1, 4),
        (6, 1, 18, 1, 6),
        (5, 1, 7, 1, 1),
        (6, 2, 16, 2, 8),
        (8, 1, 16, 4, 4),
    ],
)
def test_default_takes_as_many_cpu_devices_as_divide_the_batch(
    devices, available, processes, batch, accumulate, used
):
    devices(available, processes)
    chosen = meshes.setup(config_of(batch_size=batch, accumulate=accumulate))
    assert len(chosen) == used
    per_process = {device.process_index for device in chosen}
    assert len(per_process) == processes


def test_a_number_of_devices_that_does_not_divide_the_batch_is_refused(devices):
    devices(4)
    with pytest.raises(UsageError, match="does not divide over 3 devices; use a multiple of 3"):
        meshes.setup(config_of(cpu_devices=3))


def test_more_devices_than_jax_has_started_with_are_refused(devices):
    devices(4)
    with pytest.raises(UsageError, match="cpu_devices=8, but JAX has started with 4"):
        meshes.setup(config_of(cpu_devices=8))


def test_onednn_on_several_devices_is_refused(devices):
    if not onednn.available():
        pytest.skip("oneDNN cannot be loaded")
    devices(2)
    with pytest.raises(UsageError, match="'onednn' works on one device, and this run has 2"):
        meshes.setup(config_of(kernels="onednn", cpu_devices=2))


def test_one_device_is_asked_for_where_onednn_computes(monkeypatch):
    asked = []
    monkeypatch.setattr(meshes, "_offer_cpu_devices", asked.append)
    monkeypatch.setattr(meshes, "usable_cores", lambda: 5)
    for name in ("auto", "xla"):
        meshes.setup(config_of(kernels=name, batch_size=jax.device_count()))
    assert asked == [1 if onednn.available() else 5, 5]


@pytest.mark.parametrize("platform", ["gpu", "tpu"])
def test_an_absent_platform_is_an_error_and_never_the_cpu(platform):
    if any(device.platform != "cpu" for device in jax.devices()):
        pytest.skip("there is an accelerator")
    with pytest.raises(UsageError, match=f"config.platform='{platform}' is absent: JAX sees cpu"):
        meshes.setup(config_of(platform=platform))


def test_deterministic_operations_are_asked_for_once_beside_other_flags_and_recorded(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=somewhere")
    for _ in range(2):
        meshes.setup(config_of(deterministic=True, cpu_devices=1))
    flags = "--xla_dump_to=somewhere --xla_gpu_deterministic_ops=true"
    assert environment().variables["XLA_FLAGS"] == flags


def test_a_gpu_that_has_started_without_deterministic_operations_is_refused(devices, monkeypatch):
    monkeypatch.setattr(FakeDevice, "platform", "gpu")
    monkeypatch.setenv("XLA_FLAGS", "")
    devices(1)
    meshes.setup(config_of())
    with pytest.raises(UsageError, match=r"set XLA_FLAGS=--xla_gpu_deterministic_ops=true before"):
        meshes.setup(config_of(deterministic=True))


def test_mesh_splits_batches_and_copies_the_rest():
    mesh = meshes.setup(config_of(cpu_devices=1))
    assert mesh.axis_names == ("data",)
    assert placement.batch_sharding(mesh).shard_shape((16, 3)) == (16 // mesh.size, 3)
    assert placement.replicated(mesh).shard_shape((16, 3)) == (16, 3)
    assert f"{mesh.size} x cpu" in meshes.describe(mesh)[1]


@pytest.mark.parametrize(
    ("coordinator", "number", "index"), [("", 2, 0), ("host:1", 2, 2), ("host:1", 2, -1)]
)
def test_contradictory_process_flags_are_refused(coordinator, number, index):
    with pytest.raises(UsageError, match="--coordinator=HOST:PORT"):
        meshes.initialize_distributed(coordinator, number, index)


@pytest.mark.parametrize(
    ("error", "told"),
    [(SaveFailed("the disk is full"), "error: the disk is full\n"), (OSError("gone"), "Traceback")],
)
def test_one_process_of_several_that_fails_alone_leaves_at_once(monkeypatch, capsys, error, told):
    left = []
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(os, "_exit", left.append)
    with meshes.leaving_at_once_if_it_fails():
        raise error
    assert left == [1]
    assert capsys.readouterr().err.startswith(told)
