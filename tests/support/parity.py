"""Comparison with arrays that reference PyTorch code computed (see tests/golden/README.md)."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict

from chanattn import attention
from chanattn.interop import from_torch

Arrays = Mapping[str, np.ndarray]
Convert = Callable[[Mapping[str, np.ndarray]], dict[str, Any]]

OUTPUT = 1e-5
GRADIENT = 1e-4
SPATIAL_KERNEL = 1e-3  # 7x7 kernels of spatial gates: cancellation is larger


@dataclass(frozen=True)
class Case:
    """One input of a file with everything computed from it."""

    suffix: str
    arrays: Arrays

    @property
    def train(self) -> bool:
        return self.suffix == "_train"

    def __getitem__(self, key: str) -> np.ndarray:
        return self.arrays[key + self.suffix]

    @property
    def parameter_gradients(self) -> dict[str, np.ndarray]:
        return _strip(self.arrays, f"d{self.suffix}:")

    @property
    def statistics(self) -> dict[str, np.ndarray]:
        return _strip(self.arrays, "s_train:") if self.train else {}


def load(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def meta(arrays: Arrays) -> dict[str, Any]:
    return json.loads(str(arrays["meta"]))


def state_dict(arrays: Arrays) -> dict[str, np.ndarray]:
    return _strip(arrays, "p:")


def cases(arrays: Arrays) -> Iterator[Case]:
    for key in sorted(arrays):
        if key == "x" or key.startswith("x_"):
            yield Case(key[1:], arrays)


def _strip(arrays: Arrays, prefix: str) -> dict[str, np.ndarray]:
    return {k[len(prefix) :]: v for k, v in arrays.items() if k.startswith(prefix)}


def assert_close(ours: Any, reference: np.ndarray, tolerance: float, what: str) -> None:
    """Largest deviation relative to the largest magnitude of the reference."""
    ours, reference = np.asarray(ours, np.float64), np.asarray(reference, np.float64)
    assert ours.shape == reference.shape, f"{what}: {ours.shape} against {reference.shape}"
    scale = np.max(np.abs(reference), initial=0.0)
    deviation = np.max(np.abs(ours - reference), initial=0.0)
    assert deviation <= tolerance * scale, f"{what}: off by {deviation / (scale or 1):.2e} relative"


def biased_variance(start: np.ndarray, after: np.ndarray, momentum: float, n: int) -> np.ndarray:
    """What Flax stores where torch stores `after`: torch uses the unbiased batch variance."""
    m = 1 - momentum
    batch = (after - (1 - m) * start) / m * (n - 1) / n
    return (1 - m) * start + m * batch


def check_module(
    module: nn.Module,
    variables: Mapping[str, Any],
    case: Case,
    convert: Convert,
    *,
    momentum: float = 0.9,
    counts: Callable[[str], int] | None = None,
    output: Callable[[jax.Array], jax.Array] = lambda y: y,
) -> None:
    """Output, input gradient, parameter gradients and running statistics of one case.

    Args:
        module: Called as `module(x, train=...)`.
        variables: Its variables, converted from torch.
        case: The case.
        convert: Torch names and layouts to ours, for gradients.
        momentum: Of the module's batch norms, in Flax's sense.
        counts: Values a channel that a norm (by its path) sees in training.
        output: Brings our output to the reference's shape.
    """
    x, g = case["x"], case["g"]  # as they are: `jnp.asarray` compiles a program for every shape
    params, stats = variables.get("params", {}), variables.get("batch_stats", {})

    @jax.jit
    def run(params: Any, x: Any) -> Any:
        def scalar(params: Any, x: jax.Array) -> Any:
            state = {"params": params, "batch_stats": stats}
            y, new = module.apply(state, x, train=case.train, mutable=["batch_stats"])
            y = output(y)
            return jnp.sum(y * g), (y, new)

        return jax.value_and_grad(scalar, argnums=(0, 1), has_aux=True)(params, x)

    with jax.default_matmul_precision("highest"):
        (_, (y, new)), (dparams, dx) = run(params, x)
    assert_close(y, case["y"], OUTPUT, "output")
    assert_close(dx, case["dx"], GRADIENT, "input gradient")

    reference = flatten_dict(convert(case.parameter_gradients).get("params", {}), sep="/")
    ours = flatten_dict(dparams, sep="/")
    assert ours.keys() == reference.keys()
    largest = max((np.max(np.abs(d)) for d in reference.values()), default=0.0)
    for name, d in reference.items():
        if not np.any(d):  # analytically zero, e.g. a bias in front of a batch norm
            assert np.max(np.abs(ours[name])) <= GRADIENT * largest, f"gradient of {name}"
        else:
            tolerance = SPATIAL_KERNEL if ours[name].shape[:2] == (7, 7) else GRADIENT
            assert_close(ours[name], d, tolerance, f"gradient of {name}")

    check_statistics(stats, new.get("batch_stats", {}), case, convert, momentum, counts)


def check_statistics(
    start: Any,
    new: Any,
    case: Case,
    convert: Convert,
    momentum: float,
    counts: Callable[[str], int] | None,
) -> None:
    if not case.train:
        return
    start, new = flatten_dict(start, sep="/"), flatten_dict(new, sep="/")
    reference = flatten_dict(convert(case.statistics).get("batch_stats", {}), sep="/")
    assert new.keys() == reference.keys()
    for name, after in reference.items():
        norm, _, leaf = name.rpartition("/")
        if leaf == "var":
            assert counts is not None
            after = biased_variance(np.asarray(start[name]), after, momentum, counts(norm))
        assert_close(new[name], after, OUTPUT, name)


def check_file(
    golden: Path,
    file: str,
    name: str,
    options: Mapping[str, Any] | None = None,
    *,
    layout: Mapping[str, Any] | None = None,
    momentum: float = 0.9,
    counts: Callable[[Case, str], int] | None = None,
    output: Callable[[jax.Array], jax.Array] = lambda y: y,
) -> None:
    """Every case of a module file against the mechanism `name` with `options`.

    Args:
        golden: Directory of the fixtures.
        file: Name of the file in `modules`, without its ending.
        name: A registered mechanism.
        options: Of the mechanism.
        layout: Options of `from_torch`.
        momentum: Of the module's batch norms, in Flax's sense.
        counts: `(case, path of a norm)` -> values a channel that the norm sees in training.
        output: Brings our output to the reference's shape.
    """
    arrays = load(golden / "modules" / f"{file}.npz")
    convert = partial(from_torch, name, **(layout or {}))
    module = attention.create(name, **(options or {}))
    variables = convert(state_dict(arrays))
    for case in cases(arrays):
        check_module(
            module,
            variables,
            case,
            convert,
            momentum=momentum,
            counts=partial(counts, case) if counts else None,
            output=output,
        )
