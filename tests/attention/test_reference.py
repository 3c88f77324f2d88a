"""Every mechanism equals its reference implementation, on every case of every file."""

from functools import partial
from pathlib import Path
from typing import Any

import parity
import pytest

from chanattn import attention
from chanattn.attention.sk import BranchAttention
from chanattn.interop import from_torch

SE = ("se", {})
# file -> mechanism, options
FILES: dict[str, tuple[str, dict[str, Any]]] = {
    "cse_c16": ("se", {"reduction": 2}),
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
    if norm in ("mix/norm", "attention/bn"):
        return pictures
    _, height, width, _ = case["y"].shape
    return pictures * height * width


@pytest.mark.parametrize("file", FILES)
def test_equals_the_reference(file: str, golden: Path) -> None:
    name, options = FILES[file]
    arrays = parity.load(golden / "modules" / f"{file}.npz")
    layout = {"groups": options["groups"]} if name == "splat" and "groups" in options else {}
    convert = partial(from_torch, name, **layout)
    module = attention.create(name, **options)
    variables = convert(parity.state_dict(arrays))
    for case in parity.cases(arrays):
        parity.check_module(
            module,
            variables,
            case,
            convert,
            momentum=0.99 if file.startswith("cbam_official") else 0.9,
            counts=partial(values_per_channel, case),
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
