"""Networks by timm's names: they compute what timm's compute, and names mean what the table says."""

import zlib
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import parity
import pytest
from sampling import only

from chanattn import models
from chanattn.errors import UsageError
from chanattn.interop import from_torch
from chanattn.interop.families import words
from chanattn.interop.names import network_table
from chanattn.interop.timm_networks import timm_name
from chanattn.interop.to_torch import rename
from chanattn.models import ARCHITECTURES
from chanattn.models.timm_catalogue import CATALOGUE
from chanattn.models.timm_names import NETWORKS, meaning, missing


def filled(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """An array of PyTorch's state, by its name and shape alone, so that both sides have the same."""
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    leaf = name.rpartition(".")[2]
    if leaf in ("running_mean", "bias"):
        array = generator.normal(0, 0.1, shape)
    elif leaf == "running_var":
        array = generator.uniform(0.5, 1.5, shape)
    elif len(shape) <= 1:
        array = generator.uniform(0.5, 1.0, shape)
    else:
        array = generator.normal(0, 1, shape) * np.sqrt(2 / int(np.prod(shape[1:])))
    return array.astype(np.float32)


def pictures(size: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1, (2, size, size, 3)).astype(np.float32)


WHOLE = (
    *("resnet10t", "resnet14t", "resnet32ts", "eca_resnext26ts", "bat_resnext26ts", "vovnet57a"),
    *("ese_vovnet19b_slim", "ese_vovnet19b_slim_dw", "eca_vovnet39b"),
)
ONE_BLOCK_A_STAGE = (
    *("resnetaa34d", "seresnetaa50d", "resnetblur18", "resnetblur50d", "resnet50s", "resnetrs420"),
)
QUICK = ("resnetaa34d", "seresnetaa50d", "resnetblur18", "resnetblur50d", "ese_vovnet19b_slim_dw")


@pytest.mark.parametrize("name", only(QUICK, (*ONE_BLOCK_A_STAGE, *WHOLE)))
def test_logits_are_those_of_timm(name: str, golden: Path) -> None:
    reference = parity.load(golden / "nets" / "timm_logits.npz")
    model = models.create(name, num_classes=10)
    if name in ONE_BLOCK_A_STAGE:
        model = model.clone(layers=(1, 1, 1, 1))
    size = 256 if name.startswith("bat") else 64  # its matrices fit maps of that size alone
    variables = from_torch(model, state_of(model, size), image_size=size)
    with jax.default_matmul_precision("highest"):
        logits, _ = jax.jit(model.apply)(variables, pictures(size))
    parity.assert_close(logits, reference[name], parity.OUTPUT, "logits")


def state_of(model: models.Network, size: int) -> dict[str, np.ndarray]:
    """A whole state of PyTorch, under the names that the network has there."""
    image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    shapes = dict(jax.eval_shape(model.init, jax.random.key(0), image))
    blank = jax.tree.map(lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), shapes)
    state = rename(blank, network_table(model), words(model))
    return {name: filled(name, array.shape) for name, array in state.items()}


def test_every_name_of_timm_is_found_again() -> None:
    for name in NETWORKS:
        assert timm_name(models.create(name)) == name


def test_names_that_are_architectures_too_are_their_own() -> None:
    for name, network in NETWORKS.items():
        assert network.architecture in ARCHITECTURES
        if name in ARCHITECTURES:
            assert network.architecture == name
            assert not network.image_size


def test_a_name_gives_architecture_attention_and_size() -> None:
    model = models.create("bat_resnext26ts.ch_in1k")
    options = (("block_size", 8), ("preset", "timm"))
    gate = model.slots.gate
    assert (gate.name, gate.placement, gate.options) == ("bat", "mid", options)
    assert model.image_size == 256
    assert models.create("seresnet50") == models.create(
        "resnet50", attention={"name": "se", "rounding": "timm"}
    )
    assert models.create("ecaresnet50t").image_size == 256
    assert models.create("resnet50t").image_size == 224
    assert models.create("seresnet50", attention={"reduction": 8, "placement": ""}) == (
        models.create("seresnet50", attention={"name": "se", "reduction": 8})
    )


def test_an_architecture_has_the_attention_of_timms_unless_another_is_chosen() -> None:
    assert models.create("senet154").slots.gate.name == "se"
    assert models.create("senet154", attention="identity").slots.gate.name == "identity"
    assert models.create("senet154", attention="eca").slots.gate.name == "eca"
    # Every option counts as chosen where the mechanism is, as in the configs of earlier runs.
    assert meaning("resnetrs50", "se").attention == {"name": "se"}
    assert meaning("resnetrs50").attention == {"name": "se", "rounding": "timm", "reduction": 4}
    assert models.create("resnet20").slots.gate.name == "identity"


@pytest.mark.parametrize(
    ("name", "chosen", "message"),
    [
        ("seresnet50", "eca", "is the architecture 'resnet50' with the attention 'se', not 'eca'"),
        ("seresnet50", "identity", "write 'resnet50' to choose one"),
        ("resnet20.a1_in1k", None, "'resnet20' is no network of timm's.*leave out '.a1_in1k'"),
        ("seresnet50.", None, "'' is no tag of timm's weights; write 'seresnet50'"),
        ("seresnet50.a1/in1k", None, "'a1/in1k' is no tag"),
        ("repvgg_d2se.rvgg_in1k", None, r"one of timm's \(byobnet.py\) that is not here yet"),
        ("seresnet5", None, "unknown architecture 'seresnet5'.*Did you mean 'seresnet50'"),
        ("resnet20", {"reduction": 8}, "attention 'identity' takes no option 'reduction'"),
    ],
)
def test_names_that_mean_nothing_are_refused(name: str, chosen: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        models.create(name, attention=chosen)
    assert "\n" not in str(caught.value)


def test_what_is_missing_is_what_timm_has_and_the_table_has_not() -> None:
    every = {name for names in CATALOGUE.values() for name in names}
    assert len(every) == 406
    assert sum(weights for names in CATALOGUE.values() for weights in names.values()) == 314
    left = {name for names in missing().values() for name in names}
    assert left == every - NETWORKS.keys()
    for file in ("resnest", "sknet", "senet"):
        assert file not in missing()


def test_anti_aliasing_rounds_odd_sizes_up_and_refuses_where_it_has_no_place() -> None:
    for name in ("resnetaa50d", "resnetblur18"):
        model = models.create(name, num_classes=3).clone(layers=(1, 1, 1, 1))
        image = jax.ShapeDtypeStruct((1, 72, 40, 3), jnp.float32)
        (_, endpoints), _ = jax.eval_shape(model.init_with_output, jax.random.key(0), image)
        assert endpoints["stage4"].shape[1:3] == (3, 2)
    caffe = models.create("legacy_resnet50")
    with pytest.raises(UsageError, match="stride_first=True puts the stride on another"):
        caffe.clone(anti_alias="avg")
    with pytest.raises(UsageError, match="PreActBasicBlock takes no anti_alias other than ''"):
        models.create("preact_resnet20").clone(anti_alias="blur")
    with pytest.raises(UsageError, match="unknown anti_alias 'avgg'.*Did you mean 'avg'"):
        caffe.clone(anti_alias="avgg")
