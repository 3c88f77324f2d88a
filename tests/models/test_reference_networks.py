"""Whole networks equal the reference: logits, stage features, gradients."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import parity
import pytest
from flax.traverse_util import flatten_dict

from chanattn.interop.from_torch import convert
from chanattn.interop.names import network_table
from chanattn.models import InvertedResidualNet, Network, ResNet, VoVNet
from chanattn.models.inverted_residual import Row
from chanattn.models.slots import resolve

BOTTLENECK = {"block": "bottleneck", "planes": (8, 16, 16, 24), "num_classes": 10}
BASIC = {"block": "basic", "planes": (8, 16, 24, 32), "num_classes": 10}
DEEP = {"stem": "deep", "stem_width": 8}
AVERAGE = {"shortcut": "avg_pool"}
ONES = {"layers": (1, 1, 1, 1)}
TWO = {"layers": (2, 1, 1, 1)}


def attention(name: str, **options: Any) -> dict[str, Any]:
    return {"slots": resolve({"name": name, **options})}


TIMM_SE = attention("se", rounding="timm")

RESNETS: dict[str, dict[str, Any]] = {
    "resnet_basic": BASIC | TWO,
    "seresnet_basic": BASIC | TWO | TIMM_SE,
    "skresnet_basic": BASIC | ONES | attention("sk", reduction=8, min_width=16, split_input=True),
    "seresnet_bottleneck": BOTTLENECK | TWO | TIMM_SE,
    "resnet_bottleneck_d": BOTTLENECK | ONES | DEEP | AVERAGE,
    "ecaresnet_d": BOTTLENECK | ONES | DEEP | AVERAGE | attention("eca"),
    "cbam_resnet": BOTTLENECK | ONES | DEEP | attention("cbam", preset="timm"),
    "seresnext_g4": BOTTLENECK | ONES | DEEP | TIMM_SE | {"cardinality": 4, "base_width": 16},
    "seresnetrs": BOTTLENECK
    | ONES
    | DEEP
    | AVERAGE
    | attention("se", rounding="timm", reduction=4)
    | {"stem_pool": "conv"},
    "sknext": BOTTLENECK | ONES | DEEP | attention("sk") | {"cardinality": 16, "base_width": 8},
    "resnest_r2k1": BOTTLENECK | ONES | DEEP | AVERAGE | attention("splat", rounding="timm"),
    "resnest_r4k2_avdfirst": BOTTLENECK
    | ONES
    | DEEP
    | AVERAGE
    | attention("splat", rounding="timm", radix=4, avd_first=True)
    | {"cardinality": 2, "base_width": 32},
    "cifar_resnet8_simam": {
        "block": "basic",
        "planes": (16, 32, 64),
        "layers": (1, 1, 1),
        "num_classes": 10,
        "stem": "cifar",
        "stem_width": 16,
        "stem_pool": "",
    }
    | attention("simam"),
    "gc_resnet": BOTTLENECK | ONES | DEEP | attention("gc", preset="timm", fuse="mul"),
    "gcresnet_ts": ONES
    | DEEP
    | {"block": "bottleneck", "planes": (24, 24, 24, 32), "expansion": 2, "num_classes": 10}
    | {"stem": "tiered", "stem_pool": "strided", "activation": "silu", "num_features": 96}
    | attention("gc", preset="timm", placement="mid"),
    "legacy_seresnet_bottleneck": BOTTLENECK
    | ONES
    | {"planes": (4, 8, 16, 32), "stem_width": 16, "stem_pool": "ceil_max", "stride_first": True}
    | attention("se"),
}
VOVNET = {"num_classes": 10} | attention("ese")
NETWORKS: dict[str, Network] = {
    name: ResNet(**arguments) for name, arguments in RESNETS.items()
} | {
    "ese_vovnet_dw": VoVNet(
        **VOVNET,
        layers=(1, 1, 1, 1),
        widths=(16, 16, 24, 24),
        filters=(32, 32, 48, 64),
        stem_widths=(8, 8, 16),
        block_layers=3,
        depthwise=True,
    ),
    "ese_vovnet_res": VoVNet(
        **VOVNET,
        layers=(1, 2, 1, 1),
        widths=(8, 8, 16, 16),
        filters=(16, 24, 32, 32),
        stem_widths=(8, 8, 16),
        block_layers=2,
    ),
}

FEATURE = 2e-5


@pytest.mark.parametrize("name", NETWORKS)
def test_network_equals_the_reference(name: str, golden: Path) -> None:
    model = NETWORKS[name]
    arrays = parity.load(golden / "nets" / f"{name}.npz")
    # That `from_torch` finds what is missing has tests of its own.
    groups = getattr(model, "cardinality", 1)
    variables = convert(parity.state_dict(arrays), network_table(model), groups=groups)
    images, g = jnp.asarray(arrays["images"]), jnp.asarray(arrays["g"])

    @jax.jit
    def run(params: Any, images: jax.Array) -> Any:
        def scalar(params: Any, images: jax.Array) -> Any:
            logits, endpoints = model.apply(variables | {"params": params}, images)
            return jnp.sum(logits * g), (logits, endpoints)

        return jax.value_and_grad(scalar, argnums=(0, 1), has_aux=True)(params, images)

    with jax.default_matmul_precision("highest"):
        (_, (logits, endpoints)), (dparams, dimages) = run(variables["params"], images)

    count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    assert count == arrays["n_parameters"]
    parity.assert_close(logits, arrays["logits"], parity.OUTPUT, "logits")
    parity.assert_close(dimages[:1], arrays["dimages0"], parity.GRADIENT, "image gradient")
    features = [key for key in arrays if key.startswith("feat")]
    assert features
    for key in features:
        number, _, step = key.removeprefix("feat").partition("_s")
        ours = endpoints[endpoint(model, int(number))]
        step = int(step or 1)
        parity.assert_close(ours[:, ::step, ::step], arrays[key], FEATURE, key)
    check_gradient_norms(model, arrays, dparams)


def endpoint(model: Network, number: int) -> str:
    """timm's feature of that number; its last one is after the final convolution."""
    if number == len(model.depths) and model.num_features:
        return "final"
    return f"stage{number}" if number else "stem"


def check_gradient_norms(model: Network, arrays: parity.Arrays, dparams: Any) -> None:
    """`grad_l2` lists norms in the order of torch's parameters; a marker array finds each one's place."""
    table = network_table(model)
    state = parity.state_dict(arrays)
    ours = flatten_dict(dparams, sep="/")
    largest = np.max(arrays["grad_l2"])
    for name, reference in zip(
        parity.meta(arrays)["grad_l2_names"], arrays["grad_l2"], strict=True
    ):
        (path,) = flatten_dict(
            convert({name: state[name]}, table, groups=getattr(model, "cardinality", 1))["params"],
            sep="/",
        )
        deviation = abs(float(np.linalg.norm(ours[path])) - reference)
        assert deviation <= 1e-3 * max(reference, 1e-3 * largest), name


MOBILE = InvertedResidualNet(
    groups=(
        (Row("inverted", 1, 3, 1, 8, 1),),
        (Row("inverted", 2, 5, 2, 8, 2), Row("inverted", 2, 3, 1, 16, 1)),
    ),
    num_features=32,
    activation="silu",
)


@pytest.mark.usefixtures("traced_quickly")
@pytest.mark.parametrize("model", [*NETWORKS.values(), MOBILE])
def test_strides_of_the_endpoints_are_those_of_the_maps(model: Network) -> None:
    images = jnp.zeros((1, 64, 64, 3))
    _, endpoints = jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), images)[0])
    for name, stride in model.strides.items():
        assert endpoints[name].shape[1] == 64 // stride
