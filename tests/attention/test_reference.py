"""SimAM, selective kernels and split attention equal their reference, on every case of every file."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import parity
import pytest

from chanattn import attention
from chanattn.attention.sk import BranchAttention
from chanattn.interop import from_torch

# file -> mechanism, options
FILES: dict[str, tuple[str, dict[str, Any]]] = {
    "simam": ("simam", {}),
    "simam_l01": ("simam", {"regularization": 0.1}),
    "timm_sk_paper_c32_s2": ("sk", {"filters": 32, "stride": 2, "groups": 32}),
    "timm_sk_split_c16_c32": (
        "sk",
        {"filters": 32, "stride": 2, "reduction": 8, "min_width": 16, "split_input": True},
    ),
    "splat_official_r1k2_c16": (
        "splat",
        {"filters": 16, "groups": 2, "radix": 1, "use_bias": True, "use_norm": False},
    ),
    "splat_official_r2k1_c16": ("splat", {"filters": 16}),
    "splat_official_r2k2_c16": ("splat", {"filters": 16, "groups": 2}),
    "splat_official_r4k2_c32_s2": (
        "splat",
        {"filters": 32, "groups": 2, "radix": 4, "stride": 2, "avd": False},
    ),
    "timm_splat_r1k4_c48": ("splat", {"filters": 48, "groups": 4, "radix": 1, "rounding": "timm"}),
    "timm_splat_r2k1_c16": ("splat", {"filters": 16, "rounding": "timm"}),
    "timm_splat_r2k2_c16": ("splat", {"filters": 16, "groups": 2, "rounding": "timm"}),
    "timm_splat_r2k2_s2_nonorm_c24": (
        "splat",
        {
            "filters": 48,
            "groups": 2,
            "stride": 2,
            "avd": False,
            "use_norm": False,
            "rounding": "timm",
        },
    ),
    "timm_splat_r4k2_c32": (
        "splat",
        {"filters": 32, "groups": 2, "radix": 4, "rounding": "timm"},
    ),
}


def values_per_channel(case: parity.Case, norm: str) -> int:
    """Norms on pooled vectors see one value a picture, the others one a position of the output."""
    pictures = case["x"].shape[0]
    if norm == "attention/bn":
        return pictures
    _, height, width, _ = case["y"].shape
    return pictures * height * width


@pytest.mark.parametrize("file", FILES)
def test_equals_the_reference(file: str, golden: Path) -> None:
    name, options = FILES[file]
    parity.check_file(
        golden,
        file,
        name,
        options,
        layout={"groups": options["groups"]} if "groups" in options and name == "splat" else {},
        counts=values_per_channel,
    )


def test_weights_of_kernel_branches_equal_timm(golden: Path) -> None:
    arrays = parity.load(golden / "modules" / "timm_sk_attn_m2_c32.npz")

    def convert(state: dict[str, Any]) -> dict[str, Any]:
        whole = from_torch("sk", {f"attn.{name}": value for name, value in state.items()})
        return {collection: tree["attention"] for collection, tree in whole.items()}

    for case in parity.cases(arrays):
        parity.check_module(
            BranchAttention(width=16),
            convert(parity.state_dict(arrays)),
            case,
            convert,
            counts=lambda norm, n=case["x"].shape[0]: n,
            output=lambda weights: weights[:, :, None, None, :],
        )


@pytest.mark.parametrize("name", ["sk", "splat"])
def test_the_mixture_of_branches_keeps_its_digits_in_bfloat16(name: str) -> None:
    """Rounded once, in the output: the gradient of a weight is a sum over 256 positions, in float32."""
    module = attention.create(name, filters=4, dtype=jnp.bfloat16)
    keys = jax.random.split(jax.random.key(0), 4)
    x = jax.random.normal(keys[0], (3, 16, 16, 6))
    variables = module.init(keys[1], x)
    weights = jax.random.uniform(keys[2], (3, 2, 4))
    dy = jax.random.normal(keys[3], (3, 16, 16, 4)).astype(jnp.bfloat16)

    @jax.jit
    def mixed(weights: jax.Array) -> jax.Array:
        return module.apply(variables | {"interventions": {"weights": weights}}, x)

    one = jnp.eye(2)[:, None, :, None] * jnp.ones_like(weights)  # each branch alone
    branches = np.stack([np.asarray(mixed(each), np.float64) for each in one])
    y, pull = jax.vjp(mixed, weights)
    wanted = np.einsum("mnhwc,nmc->nhwc", branches, np.asarray(weights, np.float64))
    np.testing.assert_allclose(np.asarray(y, np.float64), wanted, rtol=2**-8, atol=1e-7)
    gradient = np.einsum("mnhwc,nhwc->nmc", branches, np.asarray(dy, np.float64))
    np.testing.assert_allclose(pull(dy)[0], gradient, rtol=1e-4, atol=1e-4)
