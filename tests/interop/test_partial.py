"""Weights that fit in part: what is loaded, what is not, and when that is a mistake."""

import re
from pathlib import Path

import numpy as np
import parity
import pytest

from chanattn import models
from chanattn.errors import UsageError
from chanattn.interop.partial import Fit, fit

STATE = dict[str, np.ndarray]
SIMAM = {"shortcut": "projection", "attention": "simam"}


@pytest.fixture(scope="module")
def state(golden: Path) -> STATE:
    """A CIFAR ResNet-8 with SimAM for ten classes, by the names of PyTorch code."""
    return dict(parity.state_dict(parity.load(golden / "nets" / "cifar_resnet8_simam.npz")))


def placed(state: STATE, name: str = "resnet8", num_classes: int = 10, **options: object) -> Fit:
    model = models.create(name, num_classes=num_classes, **SIMAM | options)  # type: ignore[arg-type]
    return fit(model, state, image_size=(32, 32))


def test_all_of_the_same_network_is_loaded(state: STATE) -> None:
    found = placed(state)
    assert found.mistakes() == []
    assert (found.fresh, found.surplus) == ({}, {})
    np.testing.assert_array_equal(
        found.loaded["params/stem/conv1/kernel"], state["conv1.weight"].transpose(2, 3, 1, 0)
    )


@pytest.mark.parametrize("separator", ["/", "."])
def test_names_of_this_project_are_known_too(separator: str, state: STATE) -> None:
    own = {path.replace("/", separator): array for path, array in placed(state).loaded.items()}
    found = placed(own)
    assert found.mistakes() == []
    assert found.loaded.keys() == placed(state).loaded.keys()


def test_a_classifier_for_other_classes_stays_as_it_was(state: STATE) -> None:
    found = placed(state, num_classes=7)
    assert found.mistakes() == []
    why = "for 10 classes there, 7 here"
    assert found.fresh == {"params/classifier/kernel": why, "params/classifier/bias": why}


# "channel" has no PyTorch names: those of the backbone are known all the same.
@pytest.mark.parametrize("attention", ["se", "eca", "gct", "bam", "channel"])
def test_attention_may_be_added(attention: str, state: STATE) -> None:
    found = placed(state, attention=attention)
    assert found.mistakes() == []
    assert all("attention" in path for path in found.fresh)
    plain = placed(state, attention=None)
    assert found.loaded.keys() == plain.loaded.keys()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"conv1.weight": np.ones((16, 1, 3, 3))},
            "stem is another one: 'stem/conv1/kernel' takes 1 input ch",
        ),
        (
            {"conv1.weight": np.ones((16, 3, 7, 7))},
            r"stem is another one: .* has shape \(7, 7, 3, 16\) there",
        ),
        (
            {"layer1.0.bn1.weight": np.ones(8)},
            r"'stage1_block1/bn1/scale' has shape \(8,\) there, \(16,\) here",
        ),
        ({"extra": np.ones(8)}, "'extra' has no counterpart here"),
    ],
)
def test_what_does_not_fit_is_named(change: STATE, message: str, state: STATE) -> None:
    assert re.search(message, "; ".join(placed(state | change).mistakes()))


def test_what_the_backbone_lacks_is_named(state: STATE) -> None:
    short = {name: array for name, array in state.items() if "layer3.0.bn" not in name}
    (mistake,) = placed(short).mistakes()
    assert mistake.startswith("they lack 8 of 45 arrays of the backbone, e.g. 'stage3_block1/bn1/")
    assert placed(short).loads_backbone()
    assert not placed({"linear.bias": np.ones(10)}).loads_backbone()


def test_attention_of_the_weights_needs_a_place_too(state: STATE) -> None:
    se = placed(state, attention="se")
    own = se.loaded | {p: np.ones(se.shapes[p].shape) for p in se.fresh}
    (mistake,) = placed(own, attention=None).mistakes()
    assert mistake.startswith(
        "'stage1_block1/attention/mix/expand/bias' has no counterpart here, nor have 11 more"
    )
    (mistake,) = placed(own, attention={"name": "se", "reduction": 4}).mistakes()
    assert "'stage1_block1/attention/mix/expand/kernel' has shape" in mistake


def test_names_of_a_network_that_is_built_otherwise_are_refused(state: STATE) -> None:
    with pytest.raises(UsageError, match="is of a network of timm's senet"):
        placed(state | {"layer0.conv1.weight": np.ones((16, 3, 3, 3), np.float32)})


def test_two_networks_in_one_file_are_refused(state: STATE) -> None:
    both = {
        f"{prefix}{name}": array
        for prefix in ("backbone.", "encoder.")
        for name, array in state.items()
    }
    with pytest.raises(
        UsageError, match="'backbone.conv1.weight' and 'encoder.conv1.weight' are the same"
    ):
        placed(both)


def test_a_trained_attention_is_not_switched_off(state: STATE) -> None:
    model = models.create("resnet8", num_classes=10, attention="se")
    shapes = fit(model, {}, image_size=(32, 32)).shapes
    weights = {path: np.zeros(shape.shape, np.float32) for path, shape in shapes.items()}
    start = {"name": "se", "start": "identity"}
    found = fit(
        models.create("resnet8", num_classes=10, attention=start), weights, image_size=(32, 32)
    )
    (mistake,) = found.mistakes()
    assert "a trained 'stage1_block1/attention'" in mistake
    assert "leave start empty" in mistake
    added = fit(
        model,
        {path: a for path, a in weights.items() if "attention" not in path},
        image_size=(32, 32),
    )
    assert added.mistakes() == []
