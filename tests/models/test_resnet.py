"""Properties of the network as a whole."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chanattn import models
from chanattn.errors import UsageError
from chanattn.models.inverted_residual import InvertedResidualBlock
from chanattn.models.stem import ceil_max_pool

IMAGES = jax.random.normal(jax.random.key(0), (4, 16, 16, 3))


def short(name: str, **options: Any) -> models.Network:
    """Two stages of the network."""
    model = models.create(name, num_classes=10, **options)
    return model.clone(layers=(1, 1), planes=(16, 32))


def random_variables(model: models.Network) -> Any:
    """Kernels that keep the variance, norms that do nothing; quicker than compiling `init`."""
    rng = np.random.default_rng(0)

    def draw(path: Any, leaf: Any) -> np.ndarray:
        kind = path[-1].key
        if kind == "kernel":
            values = rng.normal(size=leaf.shape) * np.sqrt(2 / np.prod(leaf.shape[:-1]))
        else:
            values = np.full(leaf.shape, 1.0 if kind in ("scale", "var") else 0.0)
        return values.astype(leaf.dtype)

    shapes = jax.eval_shape(model.init, jax.random.key(0), IMAGES)
    return jax.tree_util.tree_map_with_path(draw, shapes)


def train_step(model: models.Network, variables: Any, images: jax.Array, key: int) -> Any:
    """Outputs in training, and the new statistics."""
    apply = partial(model.apply, train=True, mutable=["batch_stats"])
    return jax.jit(apply)(variables, images, rngs={"dropout": jax.random.key(key)})


def test_zero_initialised_residuals_make_every_block_the_identity() -> None:
    model = short("resnet8")
    (_, endpoints), _ = jax.jit(model.init_with_output)(jax.random.key(1), IMAGES)
    np.testing.assert_array_equal(endpoints["stage1"], endpoints["stem"])
    padded = jnp.pad(endpoints["stem"][:, ::2, ::2], ((0, 0),) * 3 + ((0, 16),))
    np.testing.assert_array_equal(endpoints["stage2"], padded)


def test_without_zero_initialisation_blocks_are_not_the_identity() -> None:
    model = short("resnet8", zero_init_residual=False)
    (_, endpoints), _ = jax.jit(model.init_with_output)(jax.random.key(1), IMAGES)
    assert not np.allclose(endpoints["stage1"], endpoints["stem"])


def test_pre_activated_branches_start_silent_too() -> None:
    model = short("preact_resnet20")
    (_, endpoints), _ = jax.jit(model.init_with_output)(jax.random.key(1), IMAGES)
    np.testing.assert_array_equal(endpoints["stage1"], endpoints["stem"])


def test_stochastic_depth_drops_whole_branches_and_keeps_their_mean() -> None:
    model = models.create("resnet8", zero_init_residual=False, stochastic_depth=0.5)
    block_rates = [0.0, 0.25, 0.5]  # linear from the first block to the last
    variables = random_variables(model)
    many = jnp.tile(IMAGES[:1], (512, 1, 1, 1))
    (_, endpoints), _ = train_step(model, variables, many, key=2)
    # Stage 1 never drops, so all copies agree; the last two stages have 2 and 4 different outcomes.
    for name, outcomes in (("stage1", 1), ("stage2", 2)):
        rows = np.asarray(endpoints[name]).reshape(512, -1).round(4)
        assert len(np.unique(rows, axis=0)) == outcomes
    rows = np.asarray(endpoints["stage2"]).reshape(512, -1).round(4)
    _, counts = np.unique(rows, axis=0, return_counts=True)
    assert abs(counts.min() / 512 - block_rates[1]) < 0.06
    # The evaluation keeps every branch.
    _, endpoints = jax.jit(model.apply)(variables, many)
    rows = np.asarray(endpoints["stage3"]).reshape(512, -1)
    assert np.ptp(rows, axis=0).max() < 1e-4


def test_dropout_acts_on_the_pooled_features_in_training_only() -> None:
    model = models.create("resnet8", num_classes=10, dropout=0.5)
    variables = random_variables(model)
    logits = [train_step(model, variables, IMAGES, key)[0][0] for key in (1, 2)]
    assert not np.allclose(logits[0], logits[1])
    jax.eval_shape(model.apply, variables, IMAGES)  # needs no random stream


@pytest.mark.parametrize("name", ["se", "cbam", "splat"])
def test_bfloat16_activations_stay_close_and_statistics_stay_float32(name: str) -> None:
    options = {"num_classes": 10, "attention": {"name": name}, "zero_init_residual": False}
    exact = models.create("resnet8", **options)
    rounded = models.create("resnet8", **options, dtype=jnp.bfloat16)
    variables = random_variables(exact)
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(
        jnp.shape, jax.eval_shape(rounded.init, jax.random.key(1), IMAGES)
    )
    logits, _endpoints = jax.jit(exact.apply)(variables, IMAGES)
    (low, low_endpoints), new = train_step(rounded, variables, IMAGES, key=1)
    assert {leaf.dtype for leaf in jax.tree.leaves(new)} == {jnp.dtype("float32")}
    assert low.dtype == jnp.float32
    assert low_endpoints["stage3"].dtype == jnp.bfloat16
    assert np.isfinite(low).all()
    low, _ = jax.jit(rounded.apply)(variables, IMAGES)
    assert np.max(np.abs(low - logits)) < 0.06 * np.max(np.abs(logits))


def test_parameters_take_the_type_asked_for() -> None:
    model = models.create("resnet8", attention={"name": "cbam"}, param_dtype=jnp.bfloat16)
    params = jax.eval_shape(model.init, jax.random.key(1), IMAGES)["params"]
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("bfloat16")}


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (64, 40)])
@pytest.mark.parametrize("name", ["resnet8", "resnet18", "resnest14d"])
def test_endpoints_have_the_strides_the_model_states(name: str, size: tuple[int, int]) -> None:
    model = models.create(name, num_classes=10)
    image = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
    (_, endpoints), _ = jax.eval_shape(model.init_with_output, jax.random.key(0), image)
    for endpoint, stride in model.strides.items():
        expected = tuple(-(-side // stride) for side in size)
        assert endpoints[endpoint].shape[1:3] == expected


def attention_modules(model: models.Network) -> set[str]:
    """Of the network itself, not of its blocks."""
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    params = jax.eval_shape(model.init, jax.random.key(0), image)["params"]
    return {name for name in params if "attention" in name}


@pytest.mark.parametrize(
    ("name", "placement", "stages", "modules"),
    [
        ("resnet8", "stage_end", (1, 3), {"stage1_attention", "stage3_attention"}),
        ("resnet8", "stage_end", (), {"stage1_attention", "stage2_attention"}),
        ("vovnet19b_dw", "stage_end", (), {f"stage{i}_attention" for i in (1, 2, 3)}),
        ("efficientnet_b0", "stage_end", (), {f"stage{i}_attention" for i in (1, 2, 3, 4)}),
        ("resnet8", "head", (3,), {"head_attention"}),
        ("resnet8", "head", (), {"head_attention"}),
    ],
)
def test_stage_end_and_head_attention_have_their_own_modules(
    name: str, placement: str, stages: tuple[int, ...], modules: set[str]
) -> None:
    spec = {"name": "se", "placement": placement, "stages": stages}
    assert attention_modules(models.create(name, attention=spec)) == modules


def test_mechanisms_are_told_the_input_of_the_block_and_the_classes() -> None:
    spec = {"name": "se", "placement": "mid", "reduction": 4, "reduce_from": "block_input"}
    model = models.create("resnet29_bottleneck", num_classes=9, attention=spec)
    params = jax.eval_shape(model.init, jax.random.key(0), IMAGES)["params"]
    # Blocks enter with 16, 64, 64, 64, 128, 128, 128, 256, 256 channels.
    widths = [
        params[f"stage{stage}_block{number}"]["attention"]["mix"]["reduce"]["bias"].shape[0]
        for stage in (1, 2, 3)
        for number in (1, 2, 3)
    ]
    assert widths == [4, 16, 16, 16, 32, 32, 32, 64, 64]


def test_the_stem_can_pool_by_its_last_convolution() -> None:
    model = models.create("resnet33ts", num_classes=10).clone(layers=(1, 1, 1, 1))
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    (_, endpoints), _ = jax.eval_shape(model.init_with_output, jax.random.key(0), image)
    assert endpoints["stem"].shape == (1, 32, 32, 32)
    assert endpoints["stage1"].shape == (1, 16, 16, 256)
    assert endpoints["final"].shape == (1, 2, 2, 1280)
    assert endpoints["pooled"].shape == (1, 1280)


@pytest.mark.parametrize("size", range(1, 12))
def test_the_unpadded_pool_keeps_the_last_partial_window(size: int) -> None:
    x = np.random.default_rng(size).normal(size=(2, size, size + 1, 3))
    y = np.asarray(ceil_max_pool(jnp.asarray(x, jnp.float32)))
    rows, columns = (max(-(-(n - 3) // 2), 0) + 1 for n in x.shape[1:3])
    assert y.shape == (2, rows, columns, 3)
    for i in range(rows):
        for j in range(columns):
            window = x[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
            np.testing.assert_array_equal(y[:, i, j], window.max((1, 2)).astype(np.float32))


def test_zero_initialisation_silences_no_branch_without_a_shortcut() -> None:
    block = InvertedResidualBlock(filters=16, stride=1)
    x = jax.random.normal(jax.random.key(0), (2, 6, 6, 16))
    (y, _), _ = block.init_with_output(jax.random.key(1), x)
    np.testing.assert_array_equal(y, x)
    (y, _), _ = block.clone(stride=2).init_with_output(jax.random.key(1), x)
    assert np.abs(y).max() > 0.1


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("resnet8", {"stem": "cifra"}, "unknown stem 'cifra'; valid: 'cifar'.*Did you mean"),
        ("resnet8", {"stem_pool": "min"}, "unknown stem_pool 'min'"),
        ("resnet8", {"shortcut": "none"}, "unknown shortcut 'none'"),
        ("resnet8", {"block": "plain"}, "unknown block 'plain'"),
        ("resnet8", {"cardinality": 2}, "BasicBlock takes no cardinality other than 1, not 2"),
        ("resnet8", {"stride_first": True}, "BasicBlock takes no stride_first"),
        ("preact_resnet164", {"rectify_branch": True}, "PreActBottleneckBlock takes no rectify"),
        ("vovnet39a", {"stochastic_depth": 0.1}, "no block of this VoVNet has one; set it to 0"),
    ],
)
def test_fields_that_would_have_no_effect_are_refused(
    name: str, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        models.create(name).clone(**fields)
