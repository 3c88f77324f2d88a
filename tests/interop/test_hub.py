"""A hub's config.json decides whose weights lie beside it."""

import json
from pathlib import Path
from typing import Any

import pytest

from chanattn import models
from chanattn.errors import UsageError
from chanattn.interop import check_architecture, different_preparation, hub_config

OF_TIMM = {
    "architecture": "seresnet50",
    "num_classes": 3,
    "pretrained_cfg": {
        "tag": "a1_in1k",
        "num_classes": 1000,
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "interpolation": "bicubic",
        "crop_pct": 0.95,
        "input_size": [3, 224, 224],
    },
}


def write(folder: Path, values: Any) -> Path:
    (folder / "config.json").write_text(json.dumps(values))
    return folder


def test_fields_are_read_beside_a_file_or_in_a_folder(tmp_path: Path) -> None:
    write(tmp_path, OF_TIMM)
    found = hub_config(tmp_path / "model.safetensors")
    assert found == hub_config(tmp_path)
    assert found is not None
    assert (found.architecture, found.num_classes, found.crop_pct) == ("seresnet50", 3, 0.95)
    assert found.mean == (0.485, 0.456, 0.406)
    assert found.input_size == (3, 224, 224)
    old = {"architecture": "resnet50.a1_in1k", "num_classes": 7, "interpolation": "bilinear"}
    found = hub_config(write(tmp_path, old))
    assert found is not None
    assert (found.architecture, found.num_classes, found.interpolation) == (
        "resnet50",
        7,
        "bilinear",
    )


@pytest.mark.parametrize("values", [{"architectures": ["ResNetForX"]}, {"seed": 0}, [1]])
def test_other_files_of_that_name_say_nothing(tmp_path: Path, values: Any) -> None:
    assert hub_config(tmp_path) is None
    assert hub_config(write(tmp_path, values)) is None
    check_architecture(None, models.create("resnet8"))
    assert different_preparation(None, mean=(0.5,)) == []


def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UsageError, match="cannot be read.*download it again") as caught:
        hub_config(tmp_path)
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match=r"is damaged: mean is 0.5"):
        hub_config(write(tmp_path, {"architecture": "resnet50", "mean": 0.5}))
    for values in ({"mean": [None, [1], 3]}, {"std": ["a", "b", "c"]}):
        with pytest.raises(UsageError, match=r"is damaged: (mean|std) is \("):
            hub_config(write(tmp_path, {"architecture": "resnet50", **values}))
    for model in ("x", {}, {"name": 7, "attention": {}, "shortcut": ""}):
        own = {"architecture": "chanattn_resnet8", "chanattn": {"model": model}}
        with pytest.raises(UsageError, match=r"chanattn.model tells no network"):
            hub_config(write(tmp_path, own))


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    config = hub_config(write(tmp_path, OF_TIMM))
    se = {"name": "se", "rounding": "timm"}
    check_architecture(config, models.create("resnet50", num_classes=5, attention=se))
    for other in ("legacy_resnet50", "resnet50d", "resnet34"):
        with pytest.raises(UsageError, match="are of 'seresnet50', which is another network"):
            check_architecture(config, models.create(other, attention=se), attention=False)
    plain = models.create("resnet50")
    check_architecture(config, plain, attention=False)
    with pytest.raises(UsageError, match="another network"):
        check_architecture(config, plain)
    unknown = hub_config(write(tmp_path, {"architecture": "convnext_tiny"}))
    with pytest.raises(UsageError, match="names the network.*unknown architecture 'convnext_tiny'"):
        check_architecture(unknown, plain)


def test_an_exported_run_is_recognised(tmp_path: Path) -> None:
    network = {"name": "resnet8", "shortcut": "projection", "attention": {"name": "eca"}}
    values = {"architecture": "chanattn_resnet8", "chanattn": {"model": network}}
    config = hub_config(write(tmp_path, values))
    check_architecture(config, models.create("resnet8", shortcut="projection", attention="eca"))
    with pytest.raises(UsageError, match="are of 'resnet8', which is another network"):
        check_architecture(config, models.create("resnet8", shortcut="projection"))


def test_differences_in_the_preparation_are_told(tmp_path: Path) -> None:
    config = hub_config(write(tmp_path, OF_TIMM))
    assert different_preparation(config, mean=(0.4850, 0.4560, 0.4060), crop_pct=0.95) == []
    (line,) = different_preparation(config, std=(0.5, 0.5, 0.5), interpolation="bicubic")
    assert line.endswith("has std (0.229, 0.224, 0.225), the config (0.5, 0.5, 0.5)")
