"""Every formulation of the convolution equals `lax.conv_general_dilated`, in value and gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_convolution import plain_convolution

from chanattn import onednn
from chanattn.errors import UsageError
from chanattn.layers import Conv, convolution, kernels
from chanattn.onednn.convolution import Geometry

needs_onednn = pytest.mark.skipif(
    not onednn.available(), reason=f"oneDNN cannot be loaded: {onednn.reason_absent()}"
)
FORMULATIONS = [pytest.param("onednn", marks=needs_onednn), "xla", "plain"]


def independent(x, kernel, **window):
    return plain_convolution(x, kernel, Geometry(x.shape, kernel.shape, **window))


def value_and_gradients(function, x, kernel):
    """The output and the gradients of a loss whose cotangent differs in every place."""

    def loss(x, kernel):
        y = function(x, kernel)
        weights = jnp.cos(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape)
        return jnp.sum(y * weights), y

    (_, y), gradients = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))(x, kernel)
    return [np.asarray(array) for array in (y, *gradients)]


@functools.cache
def usual(shape, kernel_shape, window):
    """Operands, and what XLA's own convolution makes of them; one answer serves all formulations."""
    keys = jax.random.split(jax.random.key(0))
    x = jax.random.normal(keys[0], shape)
    kernel = jax.random.normal(keys[1], kernel_shape)
    return x, kernel, value_and_gradients(lambda x, k: independent(x, k, **dict(window)), x, kernel)


def assert_equal(formulation, shape, kernel_shape, **window):
    full = {"strides": (1, 1), "padding": ((0, 0),) * 2, "dilation": (1, 1), "groups": 1} | window
    x, kernel, wanted = usual(shape, kernel_shape, tuple(full.items()))
    with kernels.chosen(formulation):
        ours = value_and_gradients(lambda x, k: convolution.convolve(x, k, **full), x, kernel)
    for name, a, b in zip(("y", "dx", "dkernel"), ours, wanted, strict=True):
        assert a.shape == b.shape
        assert np.abs(a - b).max() <= 3e-6 * np.abs(b).max() + 1e-6, name


windows = st.fixed_dictionaries(
    {
        "strides": st.tuples(st.integers(1, 3), st.integers(1, 3)),
        "padding": st.tuples(*[st.tuples(st.integers(0, 2), st.integers(0, 2))] * 2),
        "dilation": st.tuples(st.integers(1, 2), st.integers(1, 2)),
    }
)


@pytest.mark.parametrize("formulation", FORMULATIONS)
@settings(max_examples=12)
@given(
    batch=st.integers(1, 3),
    size=st.tuples(st.integers(5, 9), st.integers(5, 9)),
    taps=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    groups=st.sampled_from([1, 2, 4]),
    widths=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    window=windows,
)
def test_equals_the_plain_convolution(formulation, batch, size, taps, groups, widths, window):
    inputs, outputs = widths
    assert_equal(
        formulation,
        (batch, *size, inputs * groups),
        (*taps, inputs, outputs * groups),
        groups=groups,
        **window,
    )


@pytest.mark.parametrize("formulation", FORMULATIONS)
@pytest.mark.parametrize(
    ("shape", "kernel", "window"),
    [
        ((8, 32, 32, 16), (3, 3, 16, 16), {"padding": ((1, 1), (1, 1))}),
        ((8, 32, 32, 16), (3, 3, 16, 32), {"padding": ((1, 1), (1, 1)), "strides": (2, 2)}),
        ((2, 28, 28, 3), (7, 7, 3, 24), {"padding": ((3, 3), (3, 3)), "strides": (2, 2)}),
        ((2, 9, 9, 48), (1, 1, 48, 96), {}),
        ((2, 9, 9, 48), (1, 1, 48, 1), {}),
        ((2, 9, 9, 2), (7, 7, 2, 1), {"padding": ((3, 3), (3, 3))}),
        ((2, 9, 9, 24), (3, 3, 1, 24), {"padding": ((1, 1), (1, 1)), "groups": 24}),
        ((2, 9, 9, 64), (3, 3, 2, 64), {"padding": ((1, 1), (1, 1)), "groups": 32}),
    ],
    ids=["3x3", "strided", "stem", "1x1", "mask", "spatial", "depthwise", "resnext"],
)
def test_equals_the_plain_convolution_in_the_shapes_of_networks(formulation, shape, kernel, window):
    assert_equal(formulation, shape, kernel, **window)


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_windows_in_the_padding_alone_give_zero(formulation):
    """Which oneDNN does not promise to handle."""
    window = {"padding": ((1, 2), (1, 2)), "dilation": (1, 2)}
    assert_equal(formulation, (2, 9, 7, 1), (1, 3, 1, 5), **window)


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_keeps_nan_and_infinity(formulation):
    x = jnp.ones((1, 4, 4, 3)).at[0, 1, 1, 0].set(jnp.nan).at[0, 3, 3, 1].set(jnp.inf)
    with kernels.chosen(formulation):
        y = convolution.convolve(x, jnp.ones((1, 1, 3, 2)))
    assert jnp.isnan(y[0, 1, 1]).all()
    assert jnp.isinf(y[0, 3, 3]).all()
    assert jnp.isfinite(y[0, 0, 0]).all()


@needs_onednn
def test_vmap_over_kernels_equals_one_after_another():
    x = jax.random.normal(jax.random.key(0), (2, 5, 5, 3))
    stack = jax.random.normal(jax.random.key(1), (4, 3, 3, 3, 2))
    with kernels.chosen("onednn"):
        together = jax.vmap(lambda kernel: convolution.convolve(x, kernel))(stack)
        single = jnp.stack([convolution.convolve(x, kernel) for kernel in stack])
    np.testing.assert_allclose(together, single, rtol=1e-6)


@pytest.mark.parametrize("formulation", FORMULATIONS)
@pytest.mark.parametrize("relu", [False, True], ids=["linear", "relu"])
@pytest.mark.parametrize("added", ["", "bias", "addend", "both"])
@pytest.mark.parametrize("groups", [1, 2])
def test_what_follows_equals_separate_steps(formulation, relu, added, groups):
    keys = jax.random.split(jax.random.key(2), 4)
    x = jax.random.normal(keys[0], (2, 6, 5, 4))
    kernel = jax.random.normal(keys[1], (3, 3, 4 // groups, 8))
    bias = jax.random.normal(keys[2], (8,)) if added in {"bias", "both"} else None
    addend = jax.random.normal(keys[3], (2, 3, 3, 8)) if added in {"addend", "both"} else None
    window = {"strides": (2, 2), "padding": ((1, 1), (1, 1)), "groups": groups}

    def together(x, kernel, bias, addend):
        return convolution.convolve(x, kernel, bias, addend, relu=relu, **window)

    def apart(x, kernel, bias, addend):
        window = {"strides": (2, 2), "padding": ((1, 1), (1, 1)), "dilation": (1, 1)}
        y = independent(x, kernel, **window, groups=groups)
        y = y + (0 if bias is None else bias) + (0 if addend is None else addend)
        return jnp.where(y > 0, y, 0) if relu else y

    def value_and_pullback(function):
        y, pull = jax.vjp(function, x, kernel, bias, addend)
        return y, pull(jnp.cos(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape))

    with kernels.chosen(formulation):
        ours, wanted = jax.jit(lambda: [value_and_pullback(way) for way in (together, apart)])()
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_the_kernel_gradient_is_cut_only_where_patches_are_many():
    def parts(shape, kernel):
        geometry = Geometry(shape, kernel, (1, 1), ((1, 1), (1, 1)), (1, 1), 1)
        return convolution.parts_of_the_batch(geometry, 4)

    assert parts((128, 32, 32, 16), (3, 3, 16, 16)) == 16
    assert parts((4, 32, 32, 16), (3, 3, 16, 16)) == 1 or parts((4, 32, 32, 16), (3, 3, 16, 16)) < 8
    assert parts((16, 14, 14, 256), (3, 3, 256, 256)) == 1
    assert parts((7, 64, 64, 64), (3, 3, 64, 64)) == 7


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_accelerators_get_the_plain_convolution(platform, formulation):
    layer = Conv(8)
    x = jnp.ones((16, 32, 32, 4))
    params = layer.init(jax.random.key(0), x)

    def program(name):
        with kernels.chosen(name):
            gradient = jax.jit(jax.grad(lambda p, x: layer.apply(p, x).sum()))
            return gradient.trace(params, x).lower(lowering_platforms=(platform,)).as_text()

    text = program(formulation)
    assert "chanattn" not in text
    assert text.count("stablehlo.convolution") == program("plain").count("stablehlo.convolution")


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_a_program_of_known_devices_holds_their_form_alone_and_computes_the_same(formulation):
    mesh = jax.make_mesh((1,), ("data",), devices=jax.devices()[:1])
    layer = Conv(3)
    x = jnp.ones((2, 5, 5, 2))
    params = layer.init(jax.random.key(0), x)

    def gradient(params, x):
        return jax.grad(lambda p, x: jnp.sin(layer.apply(p, x)).sum())(params, x)

    with kernels.chosen(formulation):
        known = jax.jit(kernels.running_on(mesh)(gradient)).trace(params, x)
        unknown = jax.jit(gradient).trace(params, x)
    assert "platform_index" not in str(known.jaxpr)
    assert ("platform_index" in str(unknown.jaxpr)) == (formulation != "plain")
    ours, wanted = (traced.lower().compile()(params, x) for traced in (known, unknown))
    jax.tree.map(np.testing.assert_array_equal, ours, wanted)


@needs_onednn
def test_bfloat16_takes_the_plain_convolution():
    with kernels.chosen("onednn"):
        x = jnp.ones((1, 4, 4, 3), jnp.bfloat16)
        text = (
            jax.jit(convolution.convolve).lower(x, jnp.ones((1, 1, 3, 2), jnp.bfloat16)).as_text()
        )
    assert "stablehlo.convolution" in text


@needs_onednn
def test_auto_takes_onednn_on_one_cpu_device():
    with kernels.chosen("auto"):
        assert kernels.current() == ("onednn" if jax.device_count() == 1 else "xla")


def test_an_unknown_choice_is_refused():
    with pytest.raises(UsageError, match="unknown kernels 'fast'; valid: auto, onednn, xla, plain"):
        kernels.choose("fast")


def test_onednn_is_refused_where_it_is_absent(monkeypatch):
    monkeypatch.setattr(onednn, "available", lambda: False)
    monkeypatch.setattr(onednn, "reason_absent", lambda: "the package is not installed")
    with pytest.raises(UsageError, match="the package is not installed"):
        kernels.choose("onednn")
    with kernels.chosen("auto"):
        assert kernels.current() == "xla"
