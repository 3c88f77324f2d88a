"""Options that exist for the papers' own ablations, against the equations written out in numpy."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chanattn import attention

RNG = np.random.default_rng(5)
X = (RNG.normal(size=(2, 6, 5, 32)) + RNG.normal(size=(2, 1, 1, 32))).astype(np.float32)


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def randomised(module: Any, x: np.ndarray) -> Any:
    """Variables with random values everywhere, so that no zero at the start hides anything."""
    shapes = jax.eval_shape(module.init, jax.random.key(0), jnp.asarray(x))

    def draw(path: Any, leaf: Any) -> np.ndarray:
        values = RNG.normal(size=leaf.shape) * 0.5
        return np.float32(abs(values) + 0.1 if "'var'" in str(path) else values)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def correlate(x: np.ndarray, kernel: np.ndarray, dilation: int = 1, groups: int = 1) -> np.ndarray:
    """A convolution of stride 1 that keeps the size, tap by tap."""
    k, _, inputs, outputs = kernel.shape
    reach = dilation * (k // 2)
    padded = np.pad(x, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
    height, width = x.shape[1:3]
    y = np.zeros((*x.shape[:3], outputs))
    for group in range(groups):
        into = slice(group * outputs // groups, (group + 1) * outputs // groups)
        of = slice(group * inputs, (group + 1) * inputs)
        for i in range(k):
            for j in range(k):
                rows = slice(i * dilation, i * dilation + height)
                columns = slice(j * dilation, j * dilation + width)
                y[..., into] += padded[:, rows, columns, of] @ kernel[i, j, :, into]
    return y


def normed(y: np.ndarray, params: Any, statistics: Any) -> np.ndarray:
    scale = params["scale"] / np.sqrt(statistics["var"] + 1e-5)
    return (y - statistics["mean"]) * scale + params["bias"]


class Equations:
    """CBAM's two gates, logit by logit, from the variables of one module."""

    def __init__(self, variables: Any, channel: Any, maps: str) -> None:
        self.mix, self.spatial = channel, variables["params"]["spatial"]
        self.statistics = variables["batch_stats"]["spatial"]["bn"]
        self.maps = maps

    def of_channels(self, x: np.ndarray) -> np.ndarray:
        def shared(s: np.ndarray) -> np.ndarray:
            first, second = self.mix["reduce"], self.mix["expand"]
            hidden = np.maximum(s @ first["kernel"] + first["bias"], 0)
            return hidden @ second["kernel"] + second["bias"]

        return (shared(x.mean((1, 2))) + shared(x.max((1, 2))))[:, None, None]

    def of_positions(self, x: np.ndarray) -> np.ndarray:
        maps = (
            np.stack([x.max(-1), x.mean(-1)], -1)
            if self.maps == "max+mean"
            else (x @ self.spatial["pool"]["kernel"][0, 0])
        )
        z = correlate(maps, self.spatial["conv"]["kernel"])
        return normed(z, self.spatial["bn"], self.statistics)


@pytest.mark.parametrize("combine", ["channel_first", "spatial_first", "parallel"])
@pytest.mark.parametrize(("maps", "kernel_size"), [("max+mean", 7), ("conv", 7), ("conv", 3)])
def test_cbam_arranges_its_gates_as_in_tables_2_and_3(
    combine: str, maps: str, kernel_size: int
) -> None:
    module = attention.create("cbam", combine=combine, maps=maps, kernel_size=kernel_size)
    variables = randomised(module, X)
    params = variables["params"]
    channel = params["channel"] if combine == "parallel" else params["channel"]["mix"]
    gates = Equations(variables, channel, maps)
    steps = [gates.of_channels, gates.of_positions]
    if combine == "parallel":
        expected = X * sigmoid(gates.of_channels(X) + gates.of_positions(X))
    else:
        expected = X
        for step in steps if combine == "channel_first" else steps[::-1]:
            expected = expected * sigmoid(step(expected))
    np.testing.assert_allclose(module.apply(variables, X), expected, rtol=1e-3, atol=1e-4)
    _, sown = module.apply(variables, X, mutable=["attention"])
    assert len(jax.tree.leaves(sown)) == (1 if combine == "parallel" else 2)


def branch(variables: Any, number: int, x: np.ndarray, **shape: int) -> np.ndarray:
    params, statistics = variables["params"], variables["batch_stats"]
    y = correlate(x, params[f"conv{number}"]["kernel"], **shape)
    return np.maximum(normed(y, params[f"bn{number}"], statistics[f"bn{number}"]), 0)


def test_sk_sums_its_branches_as_in_table_7() -> None:
    module = attention.create("sk", filters=8, groups=2, kernel_sizes=(3, 5, 7), fuse="sum")
    variables = randomised(module, X)
    assert "attention" not in variables["params"]
    expected = sum(branch(variables, m, X, dilation=m, groups=2) for m in (1, 2, 3))
    np.testing.assert_allclose(module.apply(variables, X), expected, rtol=1e-3, atol=1e-3)


def test_sk_of_one_branch_is_that_convolution() -> None:
    module = attention.create("sk", filters=8, kernel_sizes=(5,), fuse="sum")
    variables = randomised(module, X)
    expected = branch(variables, 1, X, dilation=2)
    np.testing.assert_allclose(module.apply(variables, X), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("kernel", "dilation", "groups"), [(3, 3, 2), (3, 2, 2), (3, 1, 2), (5, 1, 4), (7, 1, 8)]
)
def test_sk_takes_the_second_branches_of_table_6(kernel: int, dilation: int, groups: int) -> None:
    options = {"dilations": (1, dilation), "branch_groups": (2, groups)}
    module = attention.create("sk", filters=8, kernel_sizes=(3, kernel), fuse="sum", **options)
    variables = randomised(module, X)
    assert variables["params"]["conv2"]["kernel"].shape == (kernel, kernel, 32 // groups, 8)
    first = branch(variables, 1, X, groups=2)
    second = branch(variables, 2, X, dilation=dilation, groups=groups)
    np.testing.assert_allclose(module.apply(variables, X), first + second, rtol=1e-3, atol=1e-3)
    selecting = attention.create("sk", filters=8, kernel_sizes=(3, kernel), **options)
    shapes = jax.eval_shape(selecting.init, jax.random.key(0), jnp.asarray(X))["params"]
    assert shapes["attention"]["select"]["kernel"].shape == (32, 16)
