"""Errors of the conversion; the arrays themselves are compared in tests/attention and tests/models."""

from pathlib import Path

import numpy as np
import parity
import pytest

from chanattn import models
from chanattn.errors import UsageError
from chanattn.interop import from_torch

SE = {"fc1.weight": np.ones((2, 8, 1, 1)), "fc2.weight": np.ones((8, 2, 1, 1))}


def test_unknown_targets_and_names_are_refused() -> None:
    with pytest.raises(UsageError, match="no PyTorch names are known for attention 'channel'"):
        from_torch("channel", {})
    with pytest.raises(UsageError, match="parameter 'fc3.weight' has no counterpart"):
        from_torch("se", SE | {"fc3.weight": np.ones((8, 2, 1, 1))})
    with pytest.raises(UsageError, match="image_size is for networks; 'se' is a mechanism"):
        from_torch("se", SE, image_size=32)


def test_a_network_must_be_complete_and_fit(golden: Path) -> None:
    model = models.create(
        "resnet8", num_classes=10, shortcut="projection", attention={"name": "simam"}
    )
    state = parity.state_dict(parity.load(golden / "nets" / "cifar_resnet8_simam.npz"))
    assert set(from_torch(model, state)) == {"params", "batch_stats"}
    with pytest.raises(UsageError, match="lacks 1 arrays, e.g. for 'params/classifier/bias'"):
        from_torch(model, {k: v for k, v in state.items() if k != "linear.bias"})
    with pytest.raises(UsageError, match=r"'params/classifier/bias' has shape \(5,\) in PyTorch"):
        from_torch(model, state | {"linear.bias": np.ones(5)})


def test_parameters_may_depend_on_the_size_of_the_pictures(golden: Path) -> None:
    """Learned global gather-excite has a kernel of the map's size."""
    state = parity.state_dict(parity.load(golden / "nets" / "cifar_resnet8_simam.npz"))
    for stage, channels, size in ((1, 16, 8), (2, 32, 4), (3, 64, 2)):
        prefix = f"layer{stage}.0.se.conv"
        state[f"{prefix}.0.weight"] = np.ones((channels, 1, size, size))
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            state[f"{prefix}.1.{leaf}"] = np.ones(channels)
    options = {
        "num_classes": 10,
        "shortcut": "projection",
        "attention": {"name": "ge", "variant": "theta"},
    }
    variables = from_torch("resnet8", state, image_size=8, **options)
    kernel = variables["params"]["stage2_block1"]["attention"]["gather"]["conv1"]["kernel"]
    assert kernel.shape == (4, 4, 1, 32)
    with pytest.raises(UsageError, match=r"gather/conv1/kernel' has shape .* in PyTorch, .* here"):
        from_torch("resnet8", state, **options)


def test_options_of_mechanisms_are_taken_and_checked() -> None:
    assert set(from_torch("se", SE, reduction=4, rounding="timm")["params"]["mix"]) == {
        "reduce",
        "expand",
    }
    with pytest.raises(UsageError, match="'se' takes no option 'reductoin'"):
        from_torch("se", SE, reductoin=4)
