"""Squeezes and mixes against numpy re-derivations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chanattn.attention import mix
from chanattn.attention.eca import adaptive_kernel_size
from chanattn.attention.functional import squeeze
from chanattn.attention.functional.mix import correlate
from chanattn.attention.widths import floor_width, make_divisible, width_rule
from chanattn.errors import UsageError
from chanattn.layers import kernels

X = np.random.default_rng(0).normal(size=(3, 5, 4, 8)).astype(np.float32)

SQUEEZES = {
    "mean": lambda x: x.mean((1, 2)),
    "max": lambda x: x.max((1, 2)),
    "blend": lambda x: (x.mean((1, 2)) + x.max((1, 2))) / 2,
    "l2": lambda x: np.sqrt((x**2).sum((1, 2))),
    "lse": lambda x: np.log(np.exp(x).sum((1, 2))),
    "none": lambda x: x,
}


@pytest.mark.parametrize("name", SQUEEZES)
def test_squeeze_follows_its_formula_in_float32(name: str) -> None:
    s = squeeze.get(name)(jnp.asarray(X))
    np.testing.assert_allclose(s, SQUEEZES[name](X.astype(np.float64)), rtol=1e-5, atol=1e-6)
    assert squeeze.get(name)(jnp.asarray(X, jnp.bfloat16)).dtype == jnp.float32


def test_mean_of_a_large_bfloat16_map_keeps_its_digits() -> None:
    x = jnp.full((1, 112, 112, 1), 1.0078125, jnp.bfloat16)  # exactly representable
    np.testing.assert_allclose(squeeze.mean(x), 1.0078125, rtol=1e-6)


def test_joined_squeezes_are_stacked() -> None:
    s = squeeze.get("max+mean")(jnp.asarray(X))
    np.testing.assert_allclose(s, np.stack([X.max((1, 2)), X.mean((1, 2))], 1), rtol=1e-5)


@pytest.mark.parametrize("name", ["men", "mean+min", "mean+none"])
def test_unknown_squeezes_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="squeeze"):
        squeeze.get(name)


S = np.random.default_rng(1).normal(size=(3, 8)).astype(np.float32)


def run(name: str, s: np.ndarray, **options: object) -> tuple[np.ndarray, dict]:
    module = mix.get(name, **options)()
    variables = module.init(jax.random.key(0), jnp.asarray(s))
    params = jax.tree.map(
        lambda p: jnp.asarray(np.random.default_rng(2).normal(size=p.shape), jnp.float32),
        variables.get("params", {}),
    )
    return np.asarray(module.apply({"params": params}, jnp.asarray(s))), params


def test_identity_passes_the_descriptor_on() -> None:
    np.testing.assert_array_equal(run("identity", S)[0], S)


def test_bottleneck_is_two_layers_with_a_relu() -> None:
    z, p = run("bottleneck", S, reduction=2)
    hidden = np.maximum(S @ p["reduce"]["kernel"] + p["reduce"]["bias"], 0)
    assert hidden.shape == (3, 4)
    np.testing.assert_allclose(
        z, hidden @ p["expand"]["kernel"] + p["expand"]["bias"], rtol=1e-4, atol=1e-5
    )


def test_dense_and_grouped_are_full_and_block_diagonal_matrices() -> None:
    z, p = run("dense", S)
    np.testing.assert_allclose(z, S @ p["dense"]["kernel"], rtol=1e-4, atol=1e-5)
    z, p = run("grouped", S, groups=4)
    matrix = np.zeros((8, 8))
    for g in range(4):
        matrix[2 * g : 2 * g + 2, 2 * g : 2 * g + 2] = p["dense"]["kernel"][g]
    np.testing.assert_allclose(z, S @ matrix, rtol=1e-4, atol=1e-5)


def test_per_channel_never_mixes_channels() -> None:
    stacked = np.stack([S, S**2], axis=1)
    z, p = run("per_channel", stacked, use_bias=True)
    expected = S * p["kernel"][0] + S**2 * p["kernel"][1] + p["bias"]
    np.testing.assert_allclose(z, expected, rtol=1e-5)


def band(rows: np.ndarray, k: int) -> np.ndarray:
    """The C x C matrix whose row i holds k weights around the diagonal."""
    channels, reach = rows.shape[1], (k - 1) // 2
    matrix = np.zeros((channels, channels))
    for i in range(channels):
        for j in range(k):
            if 0 <= i + j - reach < channels:
                matrix[i, i + j - reach] = rows[j, i]
    return matrix


@pytest.mark.parametrize("k", [1, 3, 5, 13])
def test_conv1d_and_band_are_band_matrices(k: int) -> None:
    z, p = run("conv1d", S, kernel_size=k)
    shared = np.repeat(np.asarray(p["kernel"])[:, None], 8, axis=1)
    np.testing.assert_allclose(z, S @ band(shared, k).T, rtol=1e-4, atol=1e-5)
    z, p = run("band", S, kernel_size=k)
    np.testing.assert_allclose(z, S @ band(np.asarray(p["kernel"]), k).T, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("k", [1, 3, 5, 17])
def test_circular_taps_make_a_circulant_matrix(k: int) -> None:
    module = mix.Conv1d(k, circular=True, use_bias=True)
    taps, bias = np.arange(1, k + 1, dtype=np.float32), np.float32([0.5])
    z = module.apply({"params": {"kernel": taps, "bias": bias}}, jnp.asarray(S))
    reach = (k - 1) // 2
    expected = sum(taps[j] * np.roll(S, reach - j, axis=1) for j in range(k)) + 0.5
    np.testing.assert_allclose(z, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("k", [1, 3, 13])
@pytest.mark.parametrize("circular", [False, True])
def test_fast_kernels_give_shared_taps_the_value_and_gradients_of_their_matrix(
    k: int, circular: bool
) -> None:
    taps = np.random.default_rng(k).normal(size=k).astype(np.float32)
    g = np.random.default_rng(9).normal(size=S.shape).astype(np.float32)
    reach, eye = (k - 1) // 2, np.eye(S.shape[1], dtype=np.float32)
    shifts = [
        np.roll(eye, j - reach, axis=1) if circular else np.eye(S.shape[1], k=j - reach)
        for j in range(k)
    ]  # row i of the j-th has its one where channel i + j - reach stands
    matrix = sum(tap * shift for tap, shift in zip(taps, shifts, strict=True))
    with kernels.chosen("xla"):
        z, pull = jax.vjp(lambda s, a: correlate(s, a, circular), jnp.asarray(S), jnp.asarray(taps))
    ds, dtaps = pull(jnp.asarray(g))
    np.testing.assert_allclose(z, S @ matrix.T, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(ds, g @ matrix, rtol=1e-4, atol=1e-4)
    expected = [np.sum(g * (S @ shift.T)) for shift in shifts]
    np.testing.assert_allclose(dtaps, expected, rtol=1e-4, atol=1e-3)


def test_taps_that_go_round_more_than_once_are_refused() -> None:
    with pytest.raises(UsageError, match="kernel_size 19 goes round 8 channels.*at most 17"):
        mix.Conv1d(19, circular=True).init(jax.random.key(0), jnp.asarray(S))


@pytest.mark.parametrize("k", [1, 3, 17])
def test_conv_bottleneck_slides_over_hidden_features(k: int) -> None:
    module = mix.ConvBottleneck(width=5, kernel_size=k)
    rng = np.random.default_rng(3)
    shapes = {"lift": (5,), "lift_bias": (5,), "kernel": (k, 5), "bias": (1,)}
    p = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    z = module.apply({"params": p}, jnp.asarray(S))
    expected = np.full(S.shape, p["bias"][0])
    for i in range(8):
        for j in range(k):
            if 0 <= (other := i + j - (k - 1) // 2) < 8:
                hidden = np.maximum(S[:, other, None] * p["lift"] + p["lift_bias"], 0)
                expected[:, i] += hidden @ p["kernel"][j]
    np.testing.assert_allclose(z, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["bottleneck", "dense", "identity", "conv1d"])
def test_several_statistics_share_parameters_and_add_their_logits(name: str) -> None:
    stacked = np.stack([S, 2 * S], axis=1)
    both, _ = run(name, stacked)
    np.testing.assert_allclose(both, run(name, S)[0] + run(name, 2 * S)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("botleneck", {}, "Did you mean 'bottleneck'"),
        ("dense", {"reduction": 4}, "takes no option 'reduction'; it takes: use_bias, use_norm"),
        ("grouped", {}, "needs the option 'groups'"),
    ],
)
def test_options_of_a_mix_are_checked(name: str, options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        mix.get(name, **options)


def test_even_kernels_over_channels_are_refused() -> None:
    with pytest.raises(UsageError, match="must be odd"):
        mix.get("conv1d", kernel_size=4)()


# Section 0 of the survey of implementations: C, paper, timm SE (multiple of 8), timm CBAM, SK's floor of 32.
@pytest.mark.parametrize(
    ("channels", "paper", "timm", "nearest", "floor32"),
    [
        (16, 1, 8, 1, 32),
        (24, 1, 8, 2, 32),
        (96, 6, 8, 6, 32),
        (192, 12, 16, 12, 32),
        (320, 20, 24, 20, 32),
        (1024, 64, 64, 64, 64),
        (8, 1, 8, 1, 32),
    ],
)
def test_widths_of_the_presets(
    channels: int, paper: int, timm: int, nearest: int, floor32: int
) -> None:
    assert width_rule("paper", 16)(channels) == paper
    assert width_rule("timm", 16)(channels) == timm
    assert make_divisible(channels / 16, 1) == nearest
    assert floor_width(channels, 16, 32) == floor32


# timm's MobileNetV3: channels of the module, width of its bottleneck.
@pytest.mark.parametrize(
    ("channels", "width"),
    [(16, 8), (72, 24), (96, 24), (120, 32), (144, 40), (240, 64), (672, 168), (960, 240)],
)
def test_widths_of_mobile_networks(channels: int, width: int) -> None:
    assert width_rule("mobile", 4)(channels) == width


def test_rounding_down_too_far_is_undone() -> None:
    assert make_divisible(11, 8) == 8
    assert make_divisible(11, 8, keep=0.9) == 16


@pytest.mark.parametrize(
    ("channels", "size"),
    [(1, 3), (4, 3), (8, 3), (64, 3), (128, 5), (256, 5), (512, 5), (1024, 5), (2048, 7)],
)
def test_adaptive_kernel_size_is_timms(channels: int, size: int) -> None:
    assert adaptive_kernel_size(channels) == size


def test_the_papers_formula_alone_gives_one_for_few_channels() -> None:
    assert adaptive_kernel_size(4, minimum=1) == 1
