"""Folding changes no result, and leaves one foreign call a convolution where oneDNN computes."""

import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from chanattn import models, onednn
from chanattn.layers import BatchNorm, Conv, kernels
from chanattn.models.block import Block

needs_onednn = pytest.mark.skipif(
    not onednn.available(), reason=f"oneDNN cannot be loaded: {onednn.reason_absent()}"
)
X = jax.random.normal(jax.random.key(0), (2, 7, 6, 4))
ADDEND = jax.random.normal(jax.random.key(1), (2, 4, 3, 8))


class Branch(Block):
    """A convolution and what may be folded into it; `between` is something that may not."""

    use_bias: bool = False
    inner: str = ""
    between: bool = False

    @nn.compact
    def __call__(self, x, addend):
        y = Conv(8, stride=2, use_bias=self.use_bias, name="conv")(x)
        y = 2 * y if self.between else y
        y = BatchNorm(self.train, act=self.inner, name="bn")(y)
        return self.add_act(y, addend)


def outputs(module, which):
    """Plain and folded, and the foreign calls of the folded program."""
    variables = module.init(jax.random.key(2), X, ADDEND)
    variables = jax.tree.map(lambda a: a + jnp.linspace(0.1, 0.9, a.shape[-1]), variables)

    def folded(variables, x, addend):
        with models.folding():
            return module.apply(variables, x, addend, mutable=module.train and ["batch_stats"])

    with kernels.chosen("plain"):
        wanted = module.apply(variables, X, ADDEND, mutable=module.train and ["batch_stats"])
    with kernels.chosen(which):
        program = jax.jit(folded).lower(variables, X, ADDEND).compile()
    names = re.findall(r'custom_call_target="(chanattn[^"]*)"', program.as_text())
    return wanted, program(variables, X, ADDEND), names


def assert_close(found, wanted):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), found, wanted)


@needs_onednn
@pytest.mark.parametrize("use_bias", [False, True], ids=["", "biased"])
@pytest.mark.parametrize("act", ["relu", "silu"])
@pytest.mark.parametrize("inner", ["", "relu", "silu"])
def test_inference_equals_separate_steps_in_one_call(inner, act, use_bias):
    module = Branch(activation=act, inner=inner, use_bias=use_bias)
    wanted, found, names = outputs(module, "onednn")
    assert_close(found, wanted)
    (name,) = names
    assert ("addend" in name) == (not inner)
    assert ("relu" in name) == ((inner or act) == "relu")


@needs_onednn
@pytest.mark.parametrize("fields", [{"train": True}, {"between": True}], ids=str)
def test_what_a_convolution_cannot_hold_is_left_as_it_is(fields):
    wanted, found, names = outputs(Branch(**fields), "onednn")
    assert_close(found, wanted)
    assert not any("bias" in name for name in names)


@needs_onednn
@pytest.mark.parametrize(("name", "gate"), [("resnet10t", "cbam"), ("mobilenetv3_small_050", "se")])
def test_what_was_folded_before_gives_the_same_without_packing_a_kernel(name, gate):
    model = models.create(name, num_classes=3, attention=gate)
    x = jax.random.normal(jax.random.key(0), (2, 40, 40, 3))
    variables = jax.jit(model.init)(jax.random.key(1), x)
    stats = jax.tree.map(lambda a: a + jnp.linspace(0, 0.5, a.size), variables["batch_stats"])
    variables = {**variables, "batch_stats": stats}

    def logits(variables, x):
        with models.folding():
            return model.apply(variables, x, train=False)[0]

    with kernels.chosen("onednn"):
        ready = models.folded(model, variables, x.shape)
        program = jax.jit(logits).lower(ready, x).compile()
        packed = flatten_dict(ready["folded"])
        assert program.as_text().count("chanattn.onednn.convolution.packed") == len(packed) > 10
        wanted = jax.jit(logits)(variables, x)
        np.testing.assert_array_equal(program(ready, x), wanted)
        # Of other pictures nothing was kept.
        np.testing.assert_allclose(jax.jit(logits)(ready, x[:1]), wanted[:1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("which", ["xla", "plain"])
def test_other_kernels_fold_nothing_before(which):
    with kernels.chosen(which):
        assert models.folded(Branch(), variables := {"params": {}}, X.shape) is variables


@pytest.mark.parametrize("which", ["xla", "plain"])
def test_other_kernels_are_left_as_they_are(which):
    wanted, found, names = outputs(Branch(), which)
    assert_close(found, wanted)
    assert not names


def test_initialisation_under_it_gives_the_same_variables():
    init = jax.jit(Branch().init)
    wanted = init(jax.random.key(3), X, ADDEND)
    with models.folding():
        found = Branch().init(jax.random.key(3), X, ADDEND)
    assert_close(found, wanted)
