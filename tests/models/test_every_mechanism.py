"""Every mechanism fits every kind of network, at its own place and at all others, from a recipe."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest

from chanattn import attention
from chanattn.errors import UsageError
from chanattn.models import ResNet
from chanattn.models.blocks import BLOCKS
from chanattn.models.slots import resolve
from chanattn.training.validate import validate
from configs import cifar10, digits, imagenet

NAMES = [name for name in attention.names() if name != "identity"]
GATES = [name for name in NAMES if attention.describe(name).slot == "gate"]
SHARED = [name for name in GATES if attention.describe(name).shared]
CHANGING = ("pre", "pre_conv", "before_norms", "after_norms")  # the width changes within a stage
IN_BLOCKS = ("post", "after_sum", "identity", "mid", "pre_norm", *CHANGING)

CIFAR: dict[str, Any] = {
    "block": "basic",
    "layers": (1, 1, 1),
    "planes": (16, 32, 64),
    "stem": "cifar",
    "stem_width": 16,
    "stem_pool": "",
    "shortcut": "zero_pad",
}
IMAGENET: dict[str, Any] = {
    "block": "bottleneck",
    "layers": (1, 1, 1, 1),
    "planes": (64, 128, 256, 512),
}


@pytest.mark.parametrize("name", NAMES)
def test_an_imagenet_network_takes_it_by_default(name: str) -> None:
    model = ResNet(num_classes=10, slots=resolve({"name": name}), **IMAGENET)
    images = jax.ShapeDtypeStruct((2, 224, 224, 3), jnp.float32)
    (logits, _), _ = jax.eval_shape(model.init_with_output, jax.random.key(0), images)
    assert logits.shape == (2, 10)


@pytest.mark.parametrize("name", [name for name in GATES if name not in SHARED])
def test_it_can_be_placed_anywhere_in_a_block(name: str) -> None:
    x = jax.ShapeDtypeStruct((2, 8, 8, 16), jnp.float32)
    for placement in IN_BLOCKS:
        block = BLOCKS["basic"](16, slots=resolve({"name": name, "placement": placement}))
        y, _ = jax.eval_shape(lambda x, b=block: b.init_with_output(jax.random.key(0), x, False), x)
        assert y.shape == x.shape


@pytest.mark.parametrize("placement", [*IN_BLOCKS, "stage_end", "head"])
@pytest.mark.parametrize("name", SHARED)
def test_a_shared_mechanism_can_be_placed_in_a_network(name: str, placement: str) -> None:
    if placement in CHANGING:
        with pytest.raises(UsageError, match=f"'{name}' cannot be placed at '{placement}'"):
            resolve({"name": name, "placement": placement})
        return
    arguments = CIFAR | {"slots": resolve({"name": name, "placement": placement})}
    images = jax.ShapeDtypeStruct((2, 16, 16, 3), jnp.float32)
    model = ResNet(num_classes=10, **arguments)
    (logits, _), _ = jax.eval_shape(model.init_with_output, jax.random.key(0), images)
    assert logits.shape == (2, 10)


@pytest.mark.parametrize("name", NAMES)
def test_recipes_take_it_as_their_argument(name: str) -> None:
    for recipe in (digits, cifar10, imagenet):
        config = recipe.get_config(name)
        assert config.model.attention.name == name
        validate(config)
