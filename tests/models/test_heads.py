"""Heads on backbones: the parameters of a backbone are the same under every head."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from chanattn import models
from chanattn.errors import UsageError
from chanattn.interop import from_torch
from chanattn.models import heads

PICTURES = np.random.default_rng(0).normal(size=(2, 45, 40, 3)).astype(np.float32)
KINDS = {"resnet8": {}, "resnet18": {"placement": "head"}, "mobilenetv2_100": {}, "vovnet39b": {}}


class Maps(nn.Module):
    """A map of the last stage, told what a head is told."""

    num_classes: int
    dtype: object
    param_dtype: object

    @nn.compact
    def __call__(self, endpoints, *, size, drop, train, words=None):
        x = nn.Dense(self.num_classes)(drop(endpoints["stage3"]))
        return {"map": x, "size": size, "train": train, "words": words}


@pytest.fixture(autouse=True)
def maps(monkeypatch):
    monkeypatch.setitem(heads._HEADS, "maps", Maps)


def shapes(model):
    return jax.eval_shape(model.init, jax.random.key(0), PICTURES)["params"]


@pytest.mark.parametrize("name", list(KINDS))
def test_the_backbone_is_the_same_under_every_head_and_under_none(name):
    attention = {"name": "se", **KINDS[name]}
    classifier, maps, bare, none = (
        shapes(models.create(name, attention=attention, **options))
        for options in ({}, {"head": "maps"}, {"head": ""}, {"num_classes": 0})
    )
    assert bare == none
    assert classifier.pop("classifier")["kernel"].shape[1] == 1000
    assert list(maps.pop("maps")) == ["Dense_0"]
    assert classifier == maps == bare


def test_a_network_without_a_head_gives_the_pooled_features():
    model = models.create("resnet8", num_classes=0)
    variables = model.init(jax.random.key(0), PICTURES)
    outputs, endpoints = model.apply(variables, PICTURES)
    assert outputs.shape == (2, 64)
    np.testing.assert_array_equal(outputs, endpoints["pooled"])
    np.testing.assert_allclose(outputs, endpoints["stage3"].mean(axis=(1, 2)), rtol=1e-5)


def test_a_head_is_given_sizes_inputs_and_the_dropout_of_the_network():
    model = models.create("resnet8", num_classes=5, head="maps", dropout=0.5)
    variables = model.init(jax.random.key(0), PICTURES)
    outputs, endpoints = model.apply(variables, PICTURES, words=jnp.arange(3))
    assert outputs["map"].shape == (*endpoints["stage3"].shape[:3], 5)
    assert outputs["size"] == PICTURES.shape[1:3]
    np.testing.assert_array_equal(outputs["words"], [0, 1, 2])
    in_training, _ = model.apply(
        variables,
        PICTURES,
        train=True,
        rngs={"dropout": jax.random.key(1)},
        mutable=["batch_stats"],
    )[0]
    assert in_training["train"] is True
    assert np.abs(in_training["map"] - outputs["map"]).max() > 0.1


def test_an_unknown_head_is_named_with_the_valid_ones_when_the_network_is_made():
    with pytest.raises(
        UsageError, match=r"unknown head 'clasifier'.*bisenet, classifier, .*maps.*mean"
    ):
        models.create("resnet8", head="clasifier")


def test_a_name_is_not_given_to_two_heads():
    heads.register("maps", Maps)  # the same again, as a module that is imported twice does
    with pytest.raises(ValueError, match="'maps'"):
        heads.register("maps", nn.Dense)


@pytest.mark.parametrize("head", ["", "maps", "bisenet"])
def test_weights_of_a_classifier_fill_the_backbone_under_another_head(head):
    attention = {"name": "se", "placement": "neck"} if head == "bisenet" else None
    width = 32 if head == "bisenet" else 0
    model = models.create(
        "resnet18", num_classes=7, head=head, head_width=width, attention=attention
    )
    variables = jax.eval_shape(model.backbone().init, jax.random.key(0), PICTURES)
    rng = np.random.default_rng(1)

    def torch_name(path):
        parts = path.split("/")[1:]
        stage, _, block = parts[0].partition("_block")
        place = "" if stage == "stem" else f"layer{stage[5:]}.{int(block) - 1}."
        layer = ".".join(parts[1:-1])
        layer = {"shortcut.conv": "downsample.0", "shortcut.bn": "downsample.1"}.get(layer, layer)
        leaf = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}
        return f"{place}{layer}.{leaf.get(parts[-1], parts[-1])}"

    ours = {
        path: rng.normal(size=leaf.shape).astype(np.float32)
        for path, leaf in flatten_dict(variables, sep="/").items()
    }
    state = {
        torch_name(path): array.transpose(3, 2, 0, 1) if array.ndim == 4 else array
        for path, array in ours.items()
    }
    state |= {"fc.weight": np.zeros((1000, 512), np.float32), "fc.bias": np.zeros(1000, np.float32)}
    found = flatten_dict(from_torch(model, state), sep="/")
    assert found.keys() == ours.keys()
    for path, array in ours.items():
        np.testing.assert_array_equal(found[path], array)
    del state["layer4.1.conv2.weight"]
    with pytest.raises(UsageError, match="lacks 1 arrays"):
        from_torch(model, state)
