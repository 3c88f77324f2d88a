"""Comparison with reference files that have several inputs or outputs (see tests/golden/README.md)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import parity
from flax.traverse_util import flatten_dict

Run = Callable[[Any, Mapping[str, jax.Array]], tuple[Mapping[str, jax.Array], Any]]


def check_case(
    run: Run,
    params: Any,
    case: parity.Case,
    convert: parity.Convert,
    inputs: Sequence[str] = ("x",),
    outputs: Sequence[str] = ("y",),
    cancelling: Sequence[str] = (),
) -> Any:
    """Outputs, input gradients and parameter gradients of one case; returns what `run` returned second.

    Args:
        run: (parameters, inputs by their names in the file) -> (outputs likewise, anything).
        params: Ours, converted from torch.
        case: The case.
        convert: Torch names and layouts to ours, for gradients.
        inputs: Names of the inputs; the gradient of `x` is `dx`.
        outputs: Names of the outputs; the cotangent of `y_se` is `g_se`.
        cancelling: Parameters whose gradients are small differences of large terms.
    """
    given = {name: case[name] for name in inputs}
    cotangents = {name: case["g" + name[1:]] for name in outputs}

    def scalar(params: Any, given: Any) -> Any:
        y, rest = run(params, given)
        return sum(jnp.sum(y[name] * cotangents[name]) for name in outputs), (y, rest)

    with jax.default_matmul_precision("highest"):
        differentiate = jax.jit(jax.value_and_grad(scalar, argnums=(0, 1), has_aux=True))
        (_, (y, rest)), (dparams, dinputs) = differentiate(params, given)
    for name in outputs:
        parity.assert_close(y[name], case[name], parity.OUTPUT, name)
    for name in inputs:
        parity.assert_close(dinputs[name], case["d" + name], parity.GRADIENT, f"gradient of {name}")

    reference = flatten_dict(convert(case.parameter_gradients).get("params", {}), sep="/")
    ours = flatten_dict(dparams, sep="/")
    assert ours.keys() == reference.keys()
    for name, d in reference.items():
        assert np.any(d)
        tolerance = parity.SPATIAL_KERNEL if name in cancelling else parity.GRADIENT
        parity.assert_close(ours[name], d, tolerance, f"gradient of {name}")
    return rest
