"""The plain Flax peer is the same network as ours."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sampling import only

from benchmarks import flax_peer, rows
from chanattn import macs, models
from chanattn.errors import UsageError
from tests.support.shapes import traced_quickly  # noqa: F401 - a fixture

NETWORKS = [
    name
    for name in rows.names()
    if name.startswith(("resnet20", "resnet50")) and not name.endswith(rows.CONV_SLOT)
]


def pair(name):
    (row,) = rows.make([name], batch_size=2, on_accelerator=False, precision="float32")
    ours = models.create(row.architecture, num_classes=row.num_classes, attention=row.options)
    return ours, flax_peer.PlainResNet(row)


@pytest.mark.usefixtures("traced_quickly")
@pytest.mark.parametrize(
    "name", only([name for name in NETWORKS if "50" not in name or name.endswith("cbam")], NETWORKS)
)
def test_variables_and_multiplications_are_the_same(name):
    picture = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    shapes, counts = [], []
    for network in pair(name):
        variables = jax.eval_shape(network.init, jax.random.key(0), picture)
        shapes.append(jax.tree.map(lambda leaf: leaf.shape, variables))
        counts.append(macs.count(lambda v, x, n=network: n.apply(v, x), variables, picture).total)
    assert shapes[0] == shapes[1]
    assert counts[0] == counts[1] > 1e7


def test_logits_are_equal():
    x = jnp.asarray(np.random.default_rng(0).standard_normal((4, 16, 16, 3), np.float32))
    model, peer = pair("resnet20_se")
    variables = jax.jit(model.init)(jax.random.key(0), x)

    def logits(network):
        run = jax.jit(lambda v, x: network.apply(v, x, train=True, mutable=["batch_stats"])[0][0])
        return run(variables, x)

    expected = logits(model)
    assert jnp.abs(expected).max() > 0.01
    np.testing.assert_allclose(logits(peer), expected, atol=1e-4 * float(jnp.abs(expected).max()))


@pytest.mark.parametrize("name", ["se@4x6x6x8", "resnet20_sk", "resnet18-fpn"])
def test_what_has_no_plain_form_is_refused(name):
    (row,) = rows.make([name], batch_size=0, on_accelerator=False, precision="float32")
    with pytest.raises(UsageError, match=f"not '{name}'"):
        flax_peer.check(row)
