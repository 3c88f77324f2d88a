"""Heads of dense tasks against PyTorch's, and on backbones."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import parity
import pytest
from flax.traverse_util import flatten_dict

from chanattn import models
from chanattn.models.heads import FPN
from chanattn.models.heads.fpn import levels


def smp_fpn(name: str) -> str:
    """The path, in our head, of a parameter of segmentation_models_pytorch's."""
    *layer, leaf = name.split(".")
    match layer:
        case ["segmentation_head", "0"]:
            path = "logits"
        case ["decoder", "p5"]:
            path = "lateral4"
        case ["decoder", p, "skip_conv"]:
            path = f"lateral{int(p[1]) - 1}"
        case ["decoder", "seg_blocks", block, "block", number, "block", which]:
            kind = ("conv", "norm")[int(which)]
            path = f"level{4 - int(block)}_{int(number) + 1}_{kind}"
        case _:
            raise AssertionError(name)
    if leaf == "weight":
        leaf = "scale" if path.endswith("norm") else "kernel"
    return f"{path}/{leaf}"


def nested(state: dict[str, np.ndarray]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, array in state.items():
        layer, leaf = smp_fpn(name).split("/")
        kernel = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
        found.setdefault(layer, {})[leaf] = kernel
    return found


def test_fpn_equals_the_reference(golden: Path) -> None:
    arrays = parity.load(golden / "tasks" / "seg_smp_fpn.npz")
    state, g = parity.state_dict(arrays), arrays["g"]
    head = FPN(num_classes=2, pyramid_width=12, width=32, align_corners=True)

    @jax.jit
    def run(params: Any, maps: list[jax.Array]) -> Any:
        def scalar(params: Any, maps: list[jax.Array]) -> Any:
            endpoints = {f"stage{i}": x for i, x in enumerate(maps, 1)}
            y = head.apply(
                {"params": params}, endpoints, size=g.shape[1:3], drop=lambda x: x, train=False
            )
            return jnp.sum(y * g), y

        return jax.value_and_grad(scalar, argnums=(0, 1), has_aux=True)(params, maps)

    with jax.default_matmul_precision("highest"):
        (_, y), (dparams, dmaps) = run(nested(state), [arrays[f"x_c{i}"] for i in range(2, 6)])
    parity.assert_close(y, arrays["y"], parity.OUTPUT, "logits")
    for i, ours in enumerate(dmaps, 2):
        parity.assert_close(ours, arrays[f"dx_c{i}"], parity.GRADIENT, f"c{i}")
    norms = {path: np.linalg.norm(d) for path, d in flatten_dict(dparams, sep="/").items()}
    names = parity.meta(arrays)["grad_l2_names"]
    assert {smp_fpn(name) for name in names} == norms.keys()
    for name, reference in zip(names, arrays["grad_l2"], strict=True):
        assert abs(norms[smp_fpn(name)] - reference) <= 1e-3 * reference, name


@pytest.mark.parametrize(
    ("name", "strides"),
    [("resnet18", [4, 8, 16, 32]), ("mobilenetv2_100", [4, 8, 16, 32]), ("resnet8", [1, 2, 4])],
)
def test_logits_have_the_size_of_the_pictures_and_levels_their_strides(
    name: str, strides: list[int]
) -> None:
    model = models.create(name, num_classes=5, head="fpn", attention="se")
    pictures = jax.ShapeDtypeStruct((2, 90, 72, 3), jnp.float32)  # 45 at stride 2, 12 at stride 8
    (logits, endpoints), _ = jax.eval_shape(model.init_with_output, jax.random.key(0), pictures)
    assert (logits.shape, logits.dtype) == ((2, 90, 72, 5), jnp.float32)
    maps = levels(endpoints, (90, 72))
    assert [x.shape[1] for x in maps] == [-(-90 // stride) for stride in strides]
