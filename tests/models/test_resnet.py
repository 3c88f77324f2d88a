"""Properties of the network as a whole."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chanattn import models

IMAGES = jax.random.normal(jax.random.key(0), (4, 32, 32, 3))


def test_zero_initialised_residuals_make_every_block_the_identity() -> None:
    model = models.create("resnet8", num_classes=10)
    (_, endpoints), _ = model.init_with_output(jax.random.key(1), IMAGES)
    np.testing.assert_array_equal(endpoints["stage1"], endpoints["stem"])
    padded = jnp.pad(endpoints["stem"][:, ::2, ::2], ((0, 0),) * 3 + ((0, 16),))
    np.testing.assert_array_equal(endpoints["stage2"], padded)


def test_without_zero_initialisation_blocks_are_not_the_identity() -> None:
    model = models.create("resnet8", num_classes=10, zero_init_residual=False)
    (_, endpoints), _ = model.init_with_output(jax.random.key(1), IMAGES)
    assert not np.allclose(endpoints["stage1"], endpoints["stem"])


def test_pre_activated_branches_start_silent_too() -> None:
    model = models.create("preact_resnet20", num_classes=10)
    (_, endpoints), _ = model.init_with_output(jax.random.key(1), IMAGES)
    np.testing.assert_array_equal(endpoints["stage1"], endpoints["stem"])


def test_stochastic_depth_drops_whole_branches_and_keeps_their_mean() -> None:
    model = models.create("resnet8", zero_init_residual=False, stochastic_depth=0.5)
    block_rates = [0.0, 0.25, 0.5]  # linear from the first block to the last
    variables = model.init(jax.random.key(1), IMAGES[:1])
    many = jnp.tile(IMAGES[:1], (512, 1, 1, 1))

    def stage(key: jax.Array, train: bool) -> dict[str, jax.Array]:
        (_, endpoints), _ = model.apply(
            variables, many, train=train, rngs={"dropout": key}, mutable=["batch_stats"]
        )
        return endpoints

    endpoints = stage(jax.random.key(2), True)
    # Stage 1 never drops, so all copies agree; the last two stages have 2 and 4 different outcomes.
    for name, outcomes in (("stage1", 1), ("stage2", 2)):
        rows = np.asarray(endpoints[name]).reshape(512, -1).round(4)
        assert len(np.unique(rows, axis=0)) == outcomes
    rows = np.asarray(endpoints["stage2"]).reshape(512, -1).round(4)
    _, counts = np.unique(rows, axis=0, return_counts=True)
    assert abs(counts.min() / 512 - block_rates[1]) < 0.06
    # The evaluation keeps every branch.
    rows = np.asarray(stage(jax.random.key(3), False)["stage3"]).reshape(512, -1)
    assert np.ptp(rows, axis=0).max() < 1e-4


def test_dropout_acts_on_the_pooled_features_in_training_only() -> None:
    model = models.create("resnet8", num_classes=10, dropout=0.5)
    variables = model.init(jax.random.key(1), IMAGES)
    logits = [
        model.apply(
            variables,
            IMAGES,
            train=True,
            rngs={"dropout": jax.random.key(k)},
            mutable=["batch_stats"],
        )[0][0]
        for k in (1, 2)
    ]
    assert not np.allclose(logits[0], logits[1])
    model.apply(variables, IMAGES)  # needs no random stream


@pytest.mark.parametrize("name", ["se", "cbam", "splat"])
def test_bfloat16_activations_stay_close_and_statistics_stay_float32(name: str) -> None:
    options = {"num_classes": 10, "attention": {"name": name}, "zero_init_residual": False}
    exact = models.create("resnet8", **options)
    rounded = models.create("resnet8", **options, dtype=jnp.bfloat16)
    variables = exact.init(jax.random.key(1), IMAGES)
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(
        jnp.shape, rounded.init(jax.random.key(1), IMAGES)
    )
    logits, _endpoints = exact.apply(variables, IMAGES)
    (low, low_endpoints), new = rounded.apply(
        variables, IMAGES, train=True, mutable=["batch_stats"]
    )
    assert {leaf.dtype for leaf in jax.tree.leaves(new)} == {jnp.dtype("float32")}
    assert low.dtype == jnp.float32
    assert low_endpoints["stage3"].dtype == jnp.bfloat16
    assert np.isfinite(low).all()
    (low, _) = rounded.apply(variables, IMAGES)
    assert np.max(np.abs(low - logits)) < 0.06 * np.max(np.abs(logits))


def test_parameters_take_the_type_asked_for() -> None:
    model = models.create("resnet8", attention={"name": "cbam"}, param_dtype=jnp.bfloat16)
    params = model.init(jax.random.key(1), IMAGES)["params"]
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


def test_stage_end_and_head_attention_have_their_own_modules() -> None:
    for placement, names in (
        ("stage_end", {"stage1_attention", "stage3_attention"}),
        ("head", {"head_attention"}),
    ):
        spec = {"name": "se", "placement": placement, "stages": (1, 3)}
        model = models.create("resnet8", attention=spec)
        params = model.init(jax.random.key(0), IMAGES)["params"]
        assert {name for name in params if "attention" in name} == names
