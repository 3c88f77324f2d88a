"""A network with attention that starts as the identity predicts what it predicts without."""

from functools import cache, partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict
from sampling import only

from chanattn import attention, models
from chanattn.attention.functional import gate as gates
from chanattn.attention.start import RESIDUAL_WEIGHT, FromIdentity
from chanattn.errors import UsageError
from chanattn.interop import to_torch
from chanattn.models.slots import resolve
from chanattn.training.optimizer import decay_mask

GATES = [name for name in attention.names() if attention.describe(name).slot == "gate"]
CONVS = [name for name in attention.names() if attention.describe(name).slot == "conv"]
# One of each kind: plain, every way to mix, spatial parts, shared, noise, statistics of the batch.
KINDS = [
    "se",
    "eca",
    "cbam",
    "bam",
    "simam",
    "dia",
    "gc",
    "gct",
    "srm",
    "encnet",
    "gumbel_sigmoid",
    "ge",
]
PLAIN = models.ResNet(
    block="basic",
    layers=(2,),
    planes=(16,),
    num_classes=3,
    stem="cifar",
    stem_width=16,
    stem_pool="",
    stochastic_depth=0.3,
    zero_init_residual=False,
)
IMAGES = jax.random.normal(jax.random.key(5), (2, 8, 8, 3))


def with_attention(name: str, start: str = "identity", **more: Any) -> models.Network:
    return PLAIN.clone(slots=resolve({"name": name, "stages": (1,), "start": start, **more}))


@cache
def trained() -> dict[str, Any]:
    """Variables of the plain network, none of them at its initialisation."""
    shapes = jax.eval_shape(PLAIN.init, jax.random.key(0), IMAGES)
    rng = np.random.default_rng(0)

    def draw(path: Any, leaf: Any) -> Any:
        values = rng.normal(size=leaf.shape).astype(np.float32) * 0.3
        return jnp.asarray(abs(values) + 0.5 if path[-1].key in ("var", "scale") else values)

    return dict(jax.tree_util.tree_map_with_path(draw, shapes))


def run(model: models.Network, train: bool, variables: Any = None) -> tuple[Any, dict[str, Any]]:
    """Logits and variables after a call; what `variables` lack is as `init` makes it.

    Operation by operation, because what a compiler fuses is rounded otherwise.
    """
    rngs = {"params": jax.random.key(1), "dropout": jax.random.key(7)}
    (logits, _), new = model.apply(variables or trained(), IMAGES, train, rngs=rngs, mutable=True)
    return logits, flatten_dict(dict(new), sep="/")


@cache
def plain(train: bool) -> tuple[Any, dict[str, Any]]:
    return run(PLAIN, train)


@pytest.mark.parametrize("name", only(KINDS, GATES))
def test_the_logits_are_those_of_the_network_without(name: str) -> None:
    for placement in ("post", "mid"):
        model = with_attention(name, placement=placement)
        for train in (False, True):
            (own, before), (logits, after) = plain(train), run(model, train)
            np.testing.assert_array_equal(logits, own)
            for path in before:
                if path.startswith("batch_stats"):
                    np.testing.assert_array_equal(after[path], before[path])


def initialised(module: nn.Module, x: jax.Array) -> jax.Array:
    """What a new module makes of `x`, as one program: one for each operation takes longer to compile."""
    return jax.jit(lambda x: module.init_with_output(jax.random.key(0), x)[0])(x)


@pytest.mark.usefixtures("drawn_by_numpy")
@pytest.mark.parametrize(
    ("name", "dtype"),
    [(name, jnp.float32) for name in GATES] + [(name, jnp.bfloat16) for name in KINDS],
)
def test_every_mechanism_of_the_gate_slot_is_the_identity_to_the_bit(name: str, dtype: Any) -> None:
    x = IMAGES[..., :1].repeat(16, axis=-1).astype(dtype) * jnp.arange(1, 17, dtype=dtype)
    y = initialised(attention.create(name, start="identity"), x)
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y.astype(jnp.float32), x.astype(jnp.float32))


def test_compiled_the_logits_are_close() -> None:
    # XLA rounds a fused batch norm otherwise when something else follows it.
    variables = run(with_attention("se"), False)[1]
    variables = unflatten_dict({tuple(k.split("/")): v for k, v in variables.items()})
    compiled = jax.jit(partial(with_attention("se").apply, train=False))(variables, IMAGES)[0]
    np.testing.assert_allclose(compiled, plain(False)[0], rtol=1e-5, atol=1e-5)


def test_the_gradient_of_the_first_step_is_that_of_the_network_without() -> None:
    variables = run(with_attention("se"), False)[1]
    params = unflatten_dict(
        {tuple(k.split("/")[1:]): v for k, v in variables.items() if k.startswith("params")}
    )

    def loss(model: models.Network, params: Any) -> Any:
        logits, _ = model.apply(trained() | {"params": params}, IMAGES)
        return jnp.sum(jnp.square(logits))

    own = flatten_dict(jax.grad(partial(loss, PLAIN))(trained()["params"]), sep="/")
    found = flatten_dict(jax.grad(partial(loss, with_attention("se")))(params), sep="/")
    for path, gradient in found.items():
        if path in own:
            np.testing.assert_allclose(gradient, own[path], rtol=1e-5, atol=1e-6)
        elif path.endswith(RESIDUAL_WEIGHT):
            assert abs(gradient) > 1e-3
        else:
            assert not gradient.any()


@pytest.mark.parametrize("name", ["se", "dia"])
def test_from_the_second_step_on_the_attention_learns(name: str) -> None:
    model = with_attention(name, width=8)
    variables = run(model, False)[1]
    params = unflatten_dict(
        {tuple(k.split("/")[1:]): v for k, v in variables.items() if k.startswith("params")}
    )
    optimizer = optax.adam(0.01)

    @jax.jit
    def step(params: Any, state: Any) -> Any:
        def loss(params: Any) -> Any:
            return jnp.sum(jnp.square(model.apply(trained() | {"params": params}, IMAGES)[0] - 1))

        updates, state = optimizer.update(jax.grad(loss)(params), state)
        return optax.apply_updates(params, updates), state

    first, state = step(params, optimizer.init(params))
    second, _ = step(first, state)

    def changed(before: Any, after: Any) -> set[str]:
        after = flatten_dict(after, sep="/")
        return {
            path
            for path, value in flatten_dict(before, sep="/").items()
            if "attention" in path and (value != after[path]).any()
        }

    assert {path.rpartition("/")[2] for path in changed(params, first)} == {RESIDUAL_WEIGHT}
    assert any("kernel" in path for path in changed(first, second))


GATES_OF_THE_FAMILY = [
    {"gate": gate} for gate in gates.names() if gate not in ("top_k", "argmax", "gumbel_softmax")
]
CHANGING = [
    *(("bias_only", options) for options in GATES_OF_THE_FAMILY),
    *(("gct", options) for options in GATES_OF_THE_FAMILY),
    *(("srm", options) for options in GATES_OF_THE_FAMILY),
    *(("lct", options) for options in GATES_OF_THE_FAMILY),
    *(("lct", {"preset": "normalized", "gate": gate}) for gate in ("relu", "softmax")),
    *(("gc", {"fuse": fuse}) for fuse in ("add", "mul", "both")),
    ("gc", {"preset": "timm"}),
    *(("static", {"init_scale": scale}) for scale in (0.5, 1.0)),
    ("danet_cam", {"preset": "paper"}),
    ("non_local", {"preset": "official", "use_scale": False}),
    ("grn", {}),
]


@pytest.mark.usefixtures("drawn_by_numpy")
@pytest.mark.parametrize(("name", "options"), CHANGING)
def test_a_residual_weight_is_there_where_and_only_where_it_is_needed(
    name: str, options: dict[str, Any]
) -> None:
    # Beside attention that is the identity already, it would get no gradient, nor let one through.
    x = jax.random.normal(jax.random.key(3), (4, 4, 4, 16))
    y, _ = attention.create(name, **options).init_with_output(jax.random.key(0), x)
    needed = not np.array_equal(y, x)
    module = attention.create(name, start="identity", **options)
    assert isinstance(module, FromIdentity) == needed
    np.testing.assert_array_equal(module.init_with_output(jax.random.key(0), x)[0], x)


def test_the_weights_are_shown_under_the_path_that_they_have_without() -> None:
    for name in ("se", "dia"):
        own = run(with_attention(name, start=""), False)[1]
        started = run(with_attention(name), False)[1]
        assert set(started) - set(own) == {path for path in started if RESIDUAL_WEIGHT in path}
        assert set(own) <= set(started)


def test_the_residual_weight_does_not_decay() -> None:
    params = {"attention": {RESIDUAL_WEIGHT: jnp.zeros(()), "kernel": jnp.zeros((2, 2))}}
    assert decay_mask(params) == {"attention": {RESIDUAL_WEIGHT: False, "kernel": True}}


@pytest.mark.parametrize("name", CONVS)
def test_mechanisms_that_replace_a_convolution_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"'{name}' cannot start as the identity: it replaces"):
        models.create("resnet8", attention={"name": name, "start": "identity"})
    assert attention.describe(name).identity_start == "no"


def test_an_unknown_start_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown start 'identty'.*Did you mean 'identity'"):
        attention.create("se", start="identty")


def test_there_is_no_pytorch_network_with_a_residual_weight() -> None:
    model = models.create("resnet18", attention={"name": "se", "start": "identity"})
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), variables)
    with pytest.raises(UsageError, match="no attention that started as the identity"):
        to_torch(model, zeros)
