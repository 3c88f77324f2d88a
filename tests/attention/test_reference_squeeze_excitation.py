"""SE, ECA, CBAM and their relatives equal their reference, on every case of every file."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import parity
import pytest
from flax.traverse_util import flatten_dict

from chanattn import attention
from chanattn.interop import from_torch

# file -> mechanism, options
FILES: dict[str, tuple[str, dict[str, Any]]] = {
    "cse_c16": ("cse", {}),
    "timm_legacy_se_c96": ("se", {"reduction": 16}),
    "timm_mobile_se_c96": ("se", {"width": 4, "act": "silu"}),
    "timm_mobile_se_v3_c48": ("se", {"reduction": 4, "rounding": "timm", "gate": "hard_sigmoid"}),
    **{f"timm_se_c{c}": ("se", {"rounding": "timm"}) for c in (24, 64, 192, 256)},
    "timm_se_nobias_c32": ("se", {"use_bias": False}),
    "timm_se_options_c32": (
        "se",
        {
            "reduction": 4,
            "rounding": "timm",
            "act": "silu",
            "gate": "hard_sigmoid",
            "use_norm": True,
            "squeeze": "blend",
        },
    ),
    **{f"timm_eca_c{c}": ("eca", {}) for c in (4, 8, 16, 64, 128, 256, 512, 1024, 2048)},
    "eca_official_k1": ("eca", {"kernel_size": 1}),
    "eca_official_k5": ("eca", {"kernel_size": 5}),
    "eca_official_k9_c4": ("eca", {"kernel_size": 9}),
    "eca_ns_k5": ("eca_ns", {"kernel_size": 5}),
    "timm_ceca_c16": ("ceca", {}),
    "timm_ceca_c128": ("ceca", {}),
    "timm_ecam_c64": ("eca_mlp", {}),
    "timm_ese_c16": ("ese", {}),
    "timm_ese_c112": ("ese", {}),
    "sse_c16": ("sse", {}),
    "scse_max_c8": ("scse", {}),
    "smp_scse_add_c32": ("scse", {"combine": "add", "reduction": 16}),
    "timm_ge_global_nomlp": ("se_var1", {}),
    "timm_lcbam_c24": ("cbam_light", {}),
    "timm_cbam_c24": ("cbam", {"preset": "timm"}),
    "timm_cbam_c64": ("cbam", {"preset": "timm"}),
    "timm_cbam_channel_c24": ("cbam", {"preset": "timm", "spatial": False}),
    "timm_cbam_channel_bias_c64": ("cbam", {"preset": "timm", "spatial": False, "use_bias": True}),
    "cbam_official_c32": ("cbam", {}),
    "cbam_official_nospatial_c48": ("cbam", {"spatial": False}),
    "cbam_official_allpool_c32": (
        "cbam",
        {"spatial": False, "reduction": 8, "squeeze": "mean+max+l2+lse"},
    ),
}


def values_per_channel(case: parity.Case, norm: str) -> int:
    """Norms on pooled vectors see one value a picture, the others one a position of the output."""
    pictures, height, width, _ = case["x"].shape
    return pictures if norm == "mix/norm" else pictures * height * width


@pytest.mark.parametrize("file", FILES)
def test_equals_the_reference(file: str, golden: Path) -> None:
    name, options = FILES[file]
    parity.check_file(
        golden,
        file,
        name,
        options,
        momentum=0.99 if file.startswith("cbam_official") else 0.9,
        counts=values_per_channel,
    )


RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


# Names and shapes of state dicts of other sizes, and of code that the fixtures do not come from.
STATES: dict[str, tuple[str, dict[str, Any], int, dict[str, tuple[int, ...]]]] = {
    "plain SE": ("se", {"use_bias": False}, 32, {"fc.0.weight": (2, 32), "fc.2.weight": (32, 2)}),
    "mmpretrain SE": (
        "se",
        {},
        32,
        {
            "conv1.conv.weight": (2, 32, 1, 1),
            "conv1.conv.bias": (2,),
            "conv2.conv.weight": (32, 2, 1, 1),
            "conv2.conv.bias": (32,),
        },
    ),
    "SE-GC with 16 groups": ("se_gc", {}, 64, {"fc.weight": (64, 4, 1, 1)}),
    "SE-GC with 8 channels a group": ("se_gc", {"group_width": 8}, 32, {"fc.weight": (32, 8, 1)}),
    "ECA-NS with the formula's k": ("eca_ns", {}, 128, {"conv.weight": (128, 1, 5)}),
    "ECA-NS of one channel": ("eca_ns", {}, 1, {"conv.weight": (1, 1, 3)}),
    "cECA with a bias": (
        "ceca",
        {"use_bias": True},
        64,
        {"conv.weight": (1, 1, 3), "conv.bias": (1,)},
    ),
    "ECA-MLP of 176 channels": (
        "eca_mlp",
        {},
        176,
        {
            "conv.weight": (24, 1, 1),
            "conv.bias": (24,),
            "conv2.weight": (1, 24, 5),
            "conv2.bias": (1,),
        },
    ),
    "light CBAM with biases": (
        "cbam_light",
        {"use_bias": True, "spatial": False},
        64,
        {
            "fc1.weight": (4, 64, 1, 1),
            "fc1.bias": (4,),
            "fc2.weight": (64, 4, 1, 1),
            "fc2.bias": (64,),
        },
    ),
    "LayerScale": ("static", {}, 48, {"gamma": (48,)}),
    "torchvision's LayerScale": ("static", {}, 48, {"layer_scale": (48, 1, 1)}),
    "nothing": ("random", {}, 8, {}),
}


@pytest.mark.parametrize("case", STATES)
def test_names_and_shapes_of_other_code_fit(case: str) -> None:
    name, options, channels, torch_shapes = STATES[case]
    variables = from_torch(name, {k: normal(*shape) for k, shape in torch_shapes.items()})
    module = attention.create(name, **options)
    x = jax.ShapeDtypeStruct((1, 3, 2, channels), jnp.float32)
    wanted = jax.eval_shape(module.init, jax.random.key(0), x)
    shapes = [
        {k: v.shape for k, v in flatten_dict(tree.get("params", {}), sep="/").items()}
        for tree in (variables, wanted)
    ]
    assert shapes[0] == shapes[1]


def test_a_grouped_convolution_becomes_se_gc() -> None:
    weight, x = normal(12, 3, 1, 1), normal(2, 5, 4, 12)
    s = x.mean((1, 2))
    z = np.stack(
        [s[:, o // 3 * 3 : o // 3 * 3 + 3] @ weight[o, :, 0, 0] for o in range(12)], axis=1
    )
    y = attention.create("se_gc", groups=4).apply(from_torch("se_gc", {"fc.weight": weight}), x)
    np.testing.assert_allclose(y, x / (1 + np.exp(-z))[:, None, None], rtol=1e-4, atol=1e-6)
