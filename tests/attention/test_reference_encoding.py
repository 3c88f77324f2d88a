"""Codewords and covariances: EncNet and GSoP against the authors' arrays, and what the equations promise."""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import outputs
import parity
import pytest

from chanattn import attention
from chanattn.attention.encnet import Encoding, aggregate, assign
from chanattn.attention.gsop import covariance
from chanattn.errors import UsageError
from chanattn.interop import from_torch


def feature_map(*shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(0), shape) + 0.5


def encoding_of(state: dict[str, Any]) -> dict[str, Any]:
    whole = from_torch("encnet", state)
    return {collection: tree["encoding"] for collection, tree in whole.items()}


def test_the_encoding_layer_equals_the_reference(golden: Path) -> None:
    arrays = parity.load(golden / "modules" / "enc_encoding.npz")
    layer = Encoding(8)

    def run(params: Any, given: Any) -> Any:
        return {"y": layer.apply({"params": params}, given["x"])}, None

    params = encoding_of(parity.state_dict(arrays))["params"]
    for case in parity.cases(arrays):
        outputs.check_case(run, params, case, encoding_of)


def encnet_run(module: Any, stats: Any, train: bool) -> outputs.Run:
    def run(params: Any, given: Any) -> Any:
        y, new = module.apply(
            {"params": params, "batch_stats": stats},
            given["x"],
            train=train,
            mutable=["batch_stats", "presence"],
        )
        return {"y": y, "y_se": new["presence"]["logits"]}, new["batch_stats"]

    return run


def test_encnet_with_its_presence_logits_equals_the_reference(golden: Path) -> None:
    arrays = parity.load(golden / "modules" / "enc_module.npz")
    module = attention.create("encnet", codes=8, se_loss=True, num_classes=5)
    variables = from_torch("encnet", parity.state_dict(arrays))

    def convert(state: Any) -> dict[str, Any]:
        return from_torch("encnet", state)

    for case in parity.cases(arrays):
        start = variables["batch_stats"]
        new = outputs.check_case(
            encnet_run(module, start, case.train),
            variables["params"],
            case,
            convert,
            outputs=("y", "y_se"),
        )
        pictures, height, width, channels = case["x"].shape
        counts = {"bn": pictures * height * width, "codes_bn": pictures * channels}
        parity.check_statistics(start, new, case, convert, 0.9, counts.__getitem__)


def test_without_the_loss_there_are_no_presence_parameters(golden: Path) -> None:
    arrays = parity.load(golden / "modules" / "enc_module.npz")
    module = attention.create("encnet", codes=8, num_classes=5)
    x = jnp.asarray(arrays["x"])
    wanted = jax.eval_shape(module.init, jax.random.key(0), x)
    assert "presence" not in wanted["params"]
    assert "presence" not in wanted
    variables = from_torch("encnet", parity.state_dict(arrays))
    y, sown = jax.jit(partial(module.apply, mutable=["presence"]))(variables, x)
    parity.assert_close(y, arrays["y"], parity.OUTPUT, "output")
    assert not sown.get("presence")


def test_presence_logits_leave_no_trace_in_init() -> None:
    module = attention.create("encnet", se_loss=True, num_classes=3)
    shapes = jax.eval_shape(module.init, jax.random.key(0), feature_map(2, 4, 4, 8))
    assert set(shapes) == {"params", "batch_stats"}
    assert shapes["params"]["presence"]["kernel"].shape == (8, 3)


def test_assignments_and_residuals_follow_the_equations() -> None:
    rng = np.random.default_rng(0)
    x, codewords = rng.normal(size=(2, 7, 5)), rng.normal(size=(3, 5))
    scale = rng.uniform(-1, 0, size=3)
    expected = np.zeros((2, 3, 5))
    for n in range(2):
        for i in range(7):
            residuals = x[n, i] - codewords
            weights = np.exp(scale * np.sum(residuals**2, axis=1))
            expected[n] += (weights / weights.sum())[:, None] * residuals
    arrays = [jnp.asarray(a, jnp.float32) for a in (x, codewords, scale)]
    weights = assign(*arrays)
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-6)
    np.testing.assert_allclose(aggregate(weights, *arrays[:2]), expected, rtol=1e-4, atol=1e-5)


def test_codewords_start_in_the_ranges_of_the_authors() -> None:
    params = jax.jit(Encoding(32).init)(jax.random.key(0), feature_map(1, 3, 3, 16))["params"]
    bound = (32 * 16) ** -0.5
    codewords, scale = np.asarray(params["codewords"]), np.asarray(params["scale"])
    assert 0.9 * bound < np.abs(codewords).max() <= bound
    assert codewords.min() < 0 < codewords.max()
    assert -1 <= scale.min() < scale.max() < 0


def test_every_codeword_learns_from_the_official_start() -> None:
    """Codewords are uniform in +-1 / sqrt(K D), scales in (-1, 0), and features come from a ReLU."""
    depth, codes = 32, 16
    x = jax.random.normal(jax.random.key(0), (4, 6, 6, depth))
    module = attention.create("encnet", codes=codes)
    variables = module.init(jax.random.key(1), x)
    start = variables["params"]["encoding"]
    bound = (codes * depth) ** -0.5
    assert 0.9 * bound < np.abs(start["codewords"]).max() <= bound
    assert -1 < start["scale"].min() < -0.8
    assert -0.2 < start["scale"].max() < 0

    def scalar(params: Any) -> jax.Array:
        y, _ = module.apply({**variables, "params": params}, x, train=True, mutable=["batch_stats"])
        return jnp.sum(y * x)

    gradient = jax.jit(jax.grad(scalar))(variables["params"])["encoding"]
    assert np.abs(gradient["scale"]).min() > 1e-4
    assert np.abs(gradient["codewords"]).max(axis=1).min() > 1e-4


def test_the_encnet_gate_multiplies_by_one_to_two_and_rectifies() -> None:
    x = feature_map(2, 6, 5, 16)
    module = attention.create("encnet")
    variables = jax.jit(module.init)(jax.random.key(0), x)
    y, sown = jax.jit(partial(module.apply, mutable=["attention"]))(variables, x)
    gain = 1 + sown["attention"]["weights"]
    assert np.all((gain > 1) & (gain < 2))
    np.testing.assert_allclose(y, jnp.maximum(x * gain[:, None, None], 0), rtol=1e-5)


def test_the_paper_adds_what_the_code_averages() -> None:
    x = feature_map(2, 6, 5, 16)
    code, paper = (attention.create("encnet", codes=4, preset=p) for p in ("official", "paper"))
    variables = jax.jit(code.init)(jax.random.key(0), x)
    params = variables["params"]
    times = params | {"expand": params["expand"] | {"kernel": 4 * params["expand"]["kernel"]}}
    added = jax.jit(paper.apply)(variables, x)
    averaged = jax.jit(code.apply)(variables | {"params": times}, x)
    np.testing.assert_allclose(added, averaged, rtol=1e-5)


@pytest.mark.parametrize(("file", "width"), [("gsop_channel_s1", 8), ("gsop_channel_s2", 12)])
def test_gsop_equals_the_reference(file: str, width: int, golden: Path) -> None:
    def values_per_channel(case: parity.Case, norm: str) -> int:
        pictures, rows, columns, _ = case["x"].shape
        if norm == "row_bn":
            return pictures * width
        return pictures * -(-rows // 2) * -(-columns // 2)

    parity.check_file(golden, file, "gsop", {"width": width}, counts=values_per_channel)


def test_covariances_follow_their_definition() -> None:
    z = np.asarray(feature_map(2, 5, 3, 4), np.float64)
    for n in range(2):
        expected = np.cov(z[n].reshape(15, 4), rowvar=False, ddof=0)
        np.testing.assert_allclose(covariance(jnp.asarray(z, jnp.float32))[n], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("channels", "width"), [(1, 1), (16, 8), (64, 32), (256, 128), (2048, 128)]
)
def test_gsop_is_128_wide_or_half_the_channels(channels: int, width: int) -> None:
    module = attention.create("gsop")
    shapes = jax.eval_shape(module.init, jax.random.key(0), feature_map(1, 4, 4, channels))
    assert shapes["params"]["reduce"]["kernel"].shape == (1, 1, channels, width)


@pytest.mark.parametrize(("channels", "stride"), [(256, 2), (257, 1)])
def test_gsop_strides_up_to_256_channels(channels: int, stride: int) -> None:
    x = feature_map(1, 4, 4, channels)
    by_rule, by_hand = (attention.create("gsop", width=4, reduce_stride=s) for s in (None, stride))
    variables = jax.jit(by_rule.init)(jax.random.key(0), x)
    np.testing.assert_array_equal(
        jax.jit(by_rule.apply)(variables, x), jax.jit(by_hand.apply)(variables, x)
    )


def test_gsop_on_one_position_does_not_depend_on_the_map() -> None:
    module = attention.create("gsop")
    x = feature_map(2, 1, 1, 16)
    variables = jax.jit(module.init)(jax.random.key(0), x)
    _, sown = jax.jit(partial(module.apply, mutable=["attention"]))(variables, x)
    weights = sown["attention"]["weights"]
    assert np.isfinite(weights).all()
    np.testing.assert_array_equal(weights[0], weights[1])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("encnet", {"codes": 0}, "encnet: codes must be positive, not 0"),
        ("encnet", {"preset": "timm"}, "encnet: unknown preset 'timm'; valid: official, paper"),
        ("encnet", {"gate": "softish"}, "unknown gate 'softish'"),
        ("gsop", {"width": 0}, "gsop: width must be positive, not 0"),
        ("gsop", {"reduce_stride": 0}, "gsop: reduce_stride must be positive, not 0"),
        ("gsop", {"gate": "softish"}, "unknown gate 'softish'"),
    ],
)
def test_bad_options_get_one_line(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        attention.create(name, **options)
    assert "\n" not in str(error.value)


def test_presence_logits_need_the_number_of_classes() -> None:
    module = attention.create("encnet", se_loss=True)
    with pytest.raises(UsageError, match="se_loss needs the number of classes, num_classes"):
        jax.eval_shape(module.init, jax.random.key(0), feature_map(1, 4, 4, 8))
