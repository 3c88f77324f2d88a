"""`python -m benchmarks.throughput`: what its flags refuse, what is measured, and what is written of it."""

import json
import re

import pytest
from absl import flags

from benchmarks import flax_peer, ours, rows, throughput
from benchmarks.rows import Side
from chanattn.errors import UsageError
from tests.conftest import ROOT


def parse(*arguments):
    values = flags.FlagValues()
    throughput.define_flags(values)
    values(["throughput", *arguments])
    return values


def row(name, batch=0):
    (made,) = rows.make([name], batch_size=batch, on_accelerator=False, precision="float32")
    return made


def measured(name, sides, rounds=2):
    return throughput.measure(row(name, 8), "train", sides, rounds, seconds=2.0)


def side(each=0.5, parameters=7, **more):
    return Side(lambda steps: steps * each, parameters, "fake", **more)


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ("resnet2", "unknown row 'resnet2'.*Did you mean 'resnet20'"),
        ("se@32x56x56", "unknown row"),
        ("sse@32x56x56x256", "unknown row"),
        ("se@0x56x56x256", "unknown row"),
        ("vgg*", "unknown row"),
        (" , ", "lists nothing"),
    ],
)
def test_unknown_rows_are_refused(listed, message):
    with pytest.raises(UsageError, match=message):
        rows.choose(listed)


def test_patterns_choose_groups_and_each_row_once():
    assert rows.choose("resnet20_se,resnet20*") == [
        "resnet20_se",
        "resnet20",
        *(f"resnet20_{name}" for name in ("eca", "cbam", "gc", "sk", "splat")),
    ]
    assert len(rows.choose("*@*")) == 18
    assert rows.choose("*") == rows.names()
    assert rows.choose("gc@2x3x5x8") == ["gc@2x3x5x8"]
    assert rows.choose("resnet18-fcos*") == [
        "resnet18-fcos",
        *(f"resnet18-fcos_{name}" for name in ("se", "eca", "cbam", "gc")),
    ]


@pytest.mark.parametrize(
    ("on_accelerator", "given", "batches"),
    [(False, 0, [128, 16, 8, 32]), (True, 0, [128, 256, 64, 32]), (False, 8, [8, 8, 8, 8])],
)
def test_batches(on_accelerator, given, batches):
    names = ["resnet20", "resnet50", "resnet18-fpn_se", "se@32x14x14x1024"]
    made = rows.make(names, batch_size=given, on_accelerator=on_accelerator, precision="float32")
    assert [r.batch for r in made] == batches


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--against=timm"], "needs --torch_python"),
        (["--torch_python=python"], "only for --against=timm"),
        (["--json=absent/file.json"], "no such folder"),
        (["--json=."], "is a folder"),
    ],
)
def test_flags_that_cannot_work_are_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        throughput.check(parse(*arguments))


@pytest.mark.parametrize(
    ("listed", "message"), [("trian", "Did you mean 'train'"), ("", "nothing")]
)
def test_unknown_modes_are_refused(listed, message):
    with pytest.raises(UsageError, match=message):
        throughput.choose_modes(listed)


def test_the_documented_commands_have_flags_that_exist():
    told = throughput.__doc__ + (ROOT / "docs" / "speed.md").read_text()
    commands = re.findall(r"python -m benchmarks\.throughput (.*)", told)
    assert len(commands) >= 5
    for command in commands:
        words = command.partition("#")[0].replace("'", "").split()
        rows.choose(parse(*words).rows)


def test_equal_networks_have_the_ratio_of_their_speeds():
    entry = measured("resnet20", [side(0.25), side(0.5)], rounds=3)
    assert (entry["ours_images_per_s"], entry["peer_images_per_s"]) == (32.0, 16.0)
    assert entry["ratio"] == entry["ratio_lowest"] == entry["ratio_highest"] == 2.0
    assert (entry["ours_steps"], entry["peer_steps"], entry["rounds"]) == (8, 4, 3)


def test_the_ratio_is_the_median_of_the_ratios_of_rounds():
    # Warm-up, then three rounds; the machine was slow in the second, so medians of the sides would say 10/8.
    ours, peer = iter([1, 1, 2 / 10, 2 / 4, 2 / 12]), iter([1, 1, 2 / 8, 2 / 2, 2 / 16])
    sides = [Side(lambda _, of=of: next(of), 7, "fake") for of in (ours, peer)]
    entry = throughput.measure(row("resnet20", 1), "train", sides, rounds=3, seconds=0.0)
    assert entry["ratio"] == pytest.approx(1.25)
    assert (entry["ratio_lowest"], entry["ratio_highest"]) == pytest.approx((0.75, 2.0))


@pytest.mark.parametrize(
    ("name", "task"), [("resnet18-fpn", "segmentation"), ("resnet18-fcos_eca", "detection")]
)
def test_a_network_with_another_head_is_trained_in_its_task(name, task):
    config = ours.config_of(row(name), 1, "auto")
    assert (config.model.name, config.task.name) == ("resnet18", task)


def test_different_networks_have_none():
    entry = measured("resnet20", [side(), side(parameters=8, notes=["not compiled"])])
    assert entry["ratio"] is entry["ratio_lowest"] is None
    assert entry["notes"] == ["not compiled", "no ratio: 7 parameters against the peer's 8"]


@pytest.mark.parametrize("mode", throughput.MODES)
def test_a_module_alone_is_measured(mode):
    built = ours.build(row("cbam@4x6x6x8"), mode, devices=0, convolutions="auto")
    # Two layers of 8 x 1 without biases, a 7x7 kernel on two maps, a norm.
    assert built.parameters == 2 * 8 + 49 * 2 + 2
    assert built.run(2) > 0


def test_inference_of_both_sides_is_of_networks_of_one_size():
    chosen = row("resnet20", 2)
    sides = [
        ours.build(chosen, "infer", devices=0, convolutions="auto"),
        flax_peer.build(chosen, "infer"),
    ]
    entry = throughput.measure(chosen, "infer", sides, rounds=2, seconds=0.0)
    assert entry["parameters"] == entry["peer_parameters"] == 269_722
    assert 0 < entry["ratio_lowest"] <= entry["ratio"] <= entry["ratio_highest"]
    json.dumps(entry)
