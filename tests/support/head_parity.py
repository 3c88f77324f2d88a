"""Comparison of heads with arrays that reference PyTorch code computed (see tests/golden/README.md)."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import parity
from flax.traverse_util import flatten_dict

from chanattn.interop.from_torch import convert
from chanattn.interop.names.rules import Table

Arrays = Mapping[str, np.ndarray]


def keep(x: jax.Array) -> jax.Array:
    """No dropout."""
    return x


def check(
    golden: Path,
    file: str,
    table: Table,
    run: Callable[..., dict[str, jax.Array]],
    counts: Callable[[Arrays, str], int],
) -> None:
    """Outputs, statistics and gradients of every case of a file; gradients where all outputs are there.

    Args:
        golden: Directory of the fixtures.
        file: Name of the file.
        table: PyTorch's names to ours.
        run: `(variables, inputs by name, train) -> (outputs by name, new collections)`.
        counts: `(inputs, path of a norm)` -> values a channel that the norm sees in training.
    """
    arrays = parity.load(golden / "tasks" / f"{file}.npz")
    state = parity.state_dict(arrays)
    variables = convert(state, table)
    for case in parity.meta(arrays)["cases"]:
        suffix, train = case["suffix"], case["mode"] == "train"
        given = {name: arrays[name + suffix] for name in case["inputs"]}
        inputs = {name: x for name, x in given.items() if f"d{name}{suffix}" in arrays}
        cotangents = {
            name: arrays["g" + name[1:] + suffix]
            for name in case["outputs"]
            if "g" + name[1:] + suffix in arrays
        }

        @jax.jit
        def gradients(
            params: Any, inputs: Any, train: bool = train, g: Any = cotangents, given: Any = given
        ) -> Any:
            def scalar(params: Any, inputs: Any) -> Any:
                y, new = run(variables | {"params": params}, given | inputs, train)
                return sum(jnp.sum(y[name] * g[name]) for name in g if name in y), (y, new)

            return jax.value_and_grad(scalar, argnums=(0, 1), has_aux=True)(params, inputs)

        with jax.default_matmul_precision("highest"):
            (_, (y, new)), (dparams, dinputs) = gradients(variables["params"], inputs)
        for name, ours in y.items():
            parity.assert_close(ours, arrays[name + suffix], parity.OUTPUT, name + suffix)
        if train:
            assert y.keys() == case["outputs"].keys()
            seen = parity.Case(suffix, arrays)
            start = variables["batch_stats"]
            norm = lambda path, inputs=inputs: counts(inputs, path)  # noqa: E731
            parity.check_statistics(
                start, new["batch_stats"], seen, lambda s: convert(s, table), 0.9, norm
            )
        if y.keys() == case["outputs"].keys():
            for name, ours in dinputs.items():
                reference = arrays[f"d{name}{suffix}"]  # of the first pictures, where not of all
                ours = ours[: len(reference)]
                parity.assert_close(ours, reference, parity.GRADIENT, f"d{name}")
            check_gradients(arrays, suffix, dparams, table)


def check_gradients(arrays: Arrays, suffix: str, dparams: Any, table: Table) -> None:
    """Those of all parameters: their elements where the file has them, else their norms."""
    ours = flatten_dict(dparams, sep="/")
    zero = parity.meta(arrays)["analytically_zero_gradients"]
    largest = max(np.abs(d).max() for d in ours.values())
    for name, d in parity.Case(suffix, arrays).parameter_gradients.items():
        for path, reference in flatten_dict(convert({name: d}, table), sep="/").items():
            mine = ours[path.removeprefix("params/")]
            if f"{suffix}:{name}" in zero:
                assert np.abs(mine).max() <= parity.GRADIENT * largest, name
            else:
                parity.assert_close(mine, reference, parity.GRADIENT, f"gradient of {name}")
    names = parity.meta(arrays).get("grad_l2_names", [])
    if names:
        found = {n: convert({n: arrays[f"p:{n}"]}, table) for n in names}
        paths = {
            n: next(iter(flatten_dict(v, sep="/"))).removeprefix("params/")
            for n, v in found.items()
            if v
        }
        assert set(paths.values()) == ours.keys()
        for name, reference in zip(names, arrays["grad_l2" + suffix], strict=True):
            if name in paths and f"{suffix}:{name}" not in zero:
                norm = np.linalg.norm(ours[paths[name]])
                assert abs(norm - reference) <= 1e-3 * reference, name
