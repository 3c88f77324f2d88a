"""Networks of inverted residuals: timm's logits, padding and epsilon of TensorFlow, where attention sits."""

from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numbered
import numpy as np
import parity
import pytest
from jax import lax
from jax.flatten_util import ravel_pytree
from sampling import only
from timm_networks import shallow

from chanattn import models, onednn
from chanattn.errors import UsageError
from chanattn.interop import from_torch, to_torch
from chanattn.layers import BatchNorm, Conv, kernels
from chanattn.models import InvertedResidualNet, Network
from chanattn.models.inverted_residual import Row
from chanattn.models.slots import resolve
from chanattn.models.timm_names import GC_OF_INPUT, MOBILE_SE

needs_onednn = pytest.mark.skipif(
    not onednn.available(), reason=f"oneDNN cannot be loaded: {onednn.reason_absent()}"
)

LOGITS = 2e-5  # float32 and float64 differ by up to 5e-6 in timm itself

MEMBERS = (
    *("mobilenetv1_100", "mobilenetv1_100h", "mobilenetv2_035", "mobilenetv2_110d"),
    *("mnasnet_050", "mnasnet_100", "semnasnet_050", "mnasnet_small"),
    *("efficientnet_b0", "efficientnet_b2", "tf_efficientnet_b0", "tf_efficientnet_b1"),
    *("efficientnet_lite0", "tf_efficientnet_lite1", "efficientnet_es", "tf_efficientnet_em"),
    *("mobilenetv3_small_050", "mobilenetv3_large_075"),
    *("tf_mobilenetv3_small_075", "tf_mobilenetv3_large_100"),
    *("tf_mobilenetv3_small_minimal_100", "tf_mobilenetv3_large_minimal_100"),
    *("fbnetv3_b", "fbnetv3_d", "tinynet_d", "tinynet_e", "lcnet_035", "lcnet_050"),
    *("efficientnetv2_s", "efficientnetv2_rw_t", "efficientnetv2_rw_s"),
    *("tf_efficientnetv2_s", "tf_efficientnetv2_b0", "tf_efficientnetv2_b2"),
)


def shapes_of(model: Network) -> Any:
    with kernels.chosen("plain"):
        image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
        return jax.eval_shape(model.init, jax.random.key(0), image)


def filled(model: Network, gain: float = 2.0) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Weights by formula, under timm's names and as variables."""
    nothing = jax.tree.map(
        lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), shapes_of(model)
    )
    names = to_torch(model, nothing)
    state = {name: numbered.weights(name, array.shape, gain) for name, array in names.items()}
    return state, from_torch(model, state)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("test_efficientnet", {}),
        ("test_efficientnet blurpc", {"anti_alias": "blur_zeros"}),
        ("test_efficientnet gc", {"attention": GC_OF_INPUT}),
    ],
)
def test_pools_and_attention_are_those_of_timm(
    name: str, options: dict[str, Any], golden: Path
) -> None:
    model = models.create("test_efficientnet", num_classes=10, **options)
    _, variables = filled(model)
    with kernels.chosen("plain"):
        logits, _ = jax.jit(model.apply)(variables, numbered.images(2, 64))
    parity.assert_close(logits, parity.load(golden / "mobile_logits.npz")[name], LOGITS, name)


# One of each kind, MobileNetV3 small and large, TensorFlow's padding with attention and without; the others
# differ from these in numbers of the table, whose sums have a test of their own.
OFTEN = (
    *("mobilenetv1_100h", "mobilenetv2_035", "semnasnet_050", "mnasnet_small"),
    *("efficientnet_b0", "tf_efficientnet_b0", "efficientnet_lite0"),
    *("efficientnet_es", "mobilenetv3_small_050", "mobilenetv3_large_075", "fbnetv3_b"),
    *("tf_mobilenetv3_small_minimal_100", "tinynet_e", "lcnet_035"),
    *("efficientnetv2_rw_t", "tf_efficientnetv2_b0"),
)


@pytest.mark.usefixtures("traced_quickly")
@pytest.mark.parametrize("name", only(OFTEN, MEMBERS))
def test_logits_are_those_of_timm(name: str, golden: Path) -> None:
    """With two blocks a row of the table, at an odd size where the padding matters."""
    model, _ = shallow(models.create(name, num_classes=10), 0)
    state, variables = filled(model, 3.0 if "lcnet" in name else 2.0)
    images = numbered.images(2, 75 if name.startswith("tf_") else 64)
    with kernels.chosen("plain"):
        logits, _ = jax.jit(model.apply)(variables, images)
    parity.assert_close(logits, parity.load(golden / "mobile_logits.npz")[name], LOGITS, name)
    back = to_torch(model, variables)
    assert back.keys() == state.keys()
    assert all(np.array_equal(back[key], state[key]) for key in state)


@pytest.mark.parametrize("size", [7, 8, 12, 75])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 2), (1, 2), (7, 4)])
def test_same_padding_is_that_of_tensorflow(size: int, kernel: int, stride: int) -> None:
    x = jnp.zeros((1, size, size + 3, 1))
    conv = Conv(1, kernel, stride=stride, padding="same")
    strides, taps = (stride, stride), (kernel, kernel)
    expected = lax.padtype_to_pads(x.shape[1:3], taps, strides, "SAME")
    assert conv.window(x)["padding"] == tuple(expected)


def test_an_unknown_padding_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown padding 'valid'; valid: symmetric, same"):
        models.create("efficientnet_lite0", padding="valid")
    with pytest.raises(UsageError, match="unknown padding 'valid'"):
        Conv(1, padding="valid").init(jax.random.key(0), jnp.zeros((1, 4, 4, 1)))


TABLE = (
    (Row("conv", 1, 3, 1, 8, 2, attention=False),),
    (Row("fused", 4, 3, 2, 8, 2, attention=False),),
    (Row("inverted", 3, 5, 2, 16, 2), Row("inverted", 2.5, 3, 1, 24, 1, "relu")),
    (Row("separable", 1, 3, 2, 24, 1, attention=False, skip=False),),
)


def small(attention: Any = None, **more: Any) -> InvertedResidualNet:
    slots = {} if attention is None else {"slots": resolve(attention)}
    arguments = {"stem_width": 8, "num_classes": 5, "activation": "hard_swish"} | slots | more
    return InvertedResidualNet(groups=TABLE, **arguments)


TF = {"padding": "same", "epsilon": 1e-3, "pooled_features": 16}


@needs_onednn
def test_kernels_and_folding_agree_with_the_padding_of_tensorflow() -> None:
    model = small(MOBILE_SE, **TF)
    _, variables = filled(model)
    images = jnp.asarray(numbered.images(2, 37))

    def trained(params: Any) -> tuple[jax.Array, Any]:
        variables_ = variables | {"params": params}
        (logits, _), state = model.apply(variables_, images, train=True, mutable=["batch_stats"])
        return jnp.sum(logits**2), state

    found = {}
    for which in ("onednn", "xla"):
        with kernels.chosen(which):
            logits, _ = jax.jit(model.apply)(variables, images)
            (_, state), gradient = jax.jit(jax.value_and_grad(trained, has_aux=True))(
                variables["params"]
            )
            found[which] = (logits, state), gradient
    with kernels.chosen("onednn"), models.folding():
        folded, _ = model.apply(variables, images)
    (logits, _), _ = found["xla"]
    parity.assert_close(folded, np.asarray(logits), 1e-5, "folded")
    for part, tolerance in ((0, 1e-5), (1, 1e-4)):
        one, other = (ravel_pytree(found[which][part])[0] for which in found)
        parity.assert_close(one, np.asarray(other), tolerance, str(part))


def test_epsilon_and_padding_reach_every_layer() -> None:
    seen: dict[str, set[Any]] = {"epsilon": set(), "padding": set()}

    def look(method: Any, args: Any, kwargs: Any, context: Any) -> Any:
        for field, values in seen.items():
            if isinstance(context.module, (Conv, BatchNorm)) and hasattr(context.module, field):
                values.add(getattr(context.module, field))
        return method(*args, **kwargs)

    with nn.intercept_methods(look):
        shapes_of(small(MOBILE_SE, num_features=8, **TF))
    assert seen == {"epsilon": {1e-3}, "padding": {"same", "symmetric"}}


def test_a_larger_epsilon_is_a_larger_variance() -> None:
    plain, wide = small(), small(epsilon=0.5)
    _, variables = filled(plain)
    larger = jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf + (0.5 - 1e-5) * ("var" in jax.tree_util.keystr(path)), variables
    )
    images = numbered.images(1, 33)
    expected, _ = plain.apply(larger, images)
    parity.assert_close(wide.apply(variables, images)[0], np.asarray(expected), 1e-5, "epsilon")


def attended(model: InvertedResidualNet) -> set[str]:
    params = shapes_of(model)["params"]
    return {name for name, inner in params.items() if "attention" in inner}


def test_attention_sits_where_the_network_was_published_with_it() -> None:
    everywhere = {
        f"stage{i}_block{j}" for i, n in enumerate((2, 2, 3, 1), 1) for j in range(1, n + 1)
    }
    published = {"stage3_block1", "stage3_block2", "stage3_block3"}
    for placement in ("mid", "post", "pre", "after_sum"):
        assert attended(small(MOBILE_SE | {"placement": placement})) == published
    assert attended(small(MOBILE_SE | {"stages": (1, 2, 3, 4)})) == everywhere
    assert attended(small(MOBILE_SE | {"stages": (2,)})) == {"stage2_block1", "stage2_block2"}
    small(MOBILE_SE | {"placement": "identity", "stages": (1,)})
    with pytest.raises(UsageError, match="'identity' in stages .3,.: they have blocks without"):
        small(MOBILE_SE | {"placement": "identity"})


def test_without_a_published_place_attention_sits_in_every_block_but_plain_convolutions() -> None:
    model = models.create("tf_mobilenetv3_small_minimal_100", attention="se")
    assert len(attended(model)) == sum(model.depths) - 1


def test_stages_begin_where_the_map_is_halved() -> None:
    assert small().depths == (2, 2, 3, 1)
    assert small().strides == {"stem": 2, "stage1": 2, "stage2": 4, "stage3": 8, "stage4": 16}
    first = models.create("mobilenetv3_small_100")
    assert first.strides == {"stem": 2, "stage1": 4, "stage2": 8, "stage3": 16, "stage4": 32}


def test_a_dense_layer_behind_the_mean_belongs_to_the_backbone() -> None:
    backbone = models.create("mobilenetv3_small_050", num_classes=0)
    image = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    (pooled, endpoints), _ = jax.eval_shape(backbone.init_with_output, jax.random.key(0), image)
    assert pooled.shape == endpoints["pooled"].shape == (2, 1024)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"groups": ((Row("fast", 1, 3, 1, 8, 1),),)},
            "unknown kind of row 'fast'; valid: inverted",
        ),
        ({"groups": TABLE[:2]}, "attention=False in all rows leaves no place"),
        ({"groups": TABLE[2:], "slots": resolve({"name": "sk"})}, "'sk' replaces a convolution"),
    ],
)
def test_tables_that_cannot_be_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        InvertedResidualNet(**arguments)


def test_stochastic_depth_needs_a_shortcut() -> None:
    with pytest.raises(UsageError, match="no block of this network has one; set it to 0"):
        models.create("lcnet_050", stochastic_depth=0.1)
    models.create("mobilenetv2_035", stochastic_depth=0.1)
