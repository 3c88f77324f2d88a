"""The least time of a row: its arithmetic and its traffic, counted by hand."""

import jax
import jax.numpy as jnp
import pytest

from benchmarks import floor
from benchmarks.floor import Limits, Work
from chanattn import attention, models


def network(name: str, mode: str, size: int, **options: object) -> Work:
    model = models.create(name, **options)
    images = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
    weights = jax.eval_shape(model.init, jax.random.key(0), images)
    return floor.of_network(model, weights, images, mode)


def test_a_row_takes_the_longer_of_arithmetic_and_traffic() -> None:
    limits = Limits(flop_per_s=100.0, bytes_per_s=10.0)
    assert Work(flop=200, bytes=10).seconds(limits) == 2.0
    assert Work(flop=200, bytes=50).seconds(limits) == 5.0


# Published: 40.55 and 4,089.18 million. Nothing needs the gradient of the pictures.
@pytest.mark.parametrize(
    ("name", "size", "macs", "stem"),
    [
        ("resnet20", 32, 40_551_040, 32 * 32 * 16 * 27),
        ("resnet50", 224, 4_089_184_256, 112 * 112 * 64 * 147),
    ],
)
def test_the_gradients_of_a_network_take_twice_its_forward_pass(
    name: str, size: int, macs: int, stem: int
) -> None:
    classes = 10 if name == "resnet20" else 1000
    assert network(name, "infer", size, num_classes=classes).flop == 2 * 2 * macs
    assert network(name, "train", size, num_classes=classes).flop == 2 * 2 * (3 * macs - stem)


def test_zeros_between_the_pixels_of_a_gradient_are_not_counted_nor_are_channels_of_other_groups() -> (
    None
):
    x, kernel = jnp.ones((2, 8, 8, 6)), jnp.ones((3, 3, 3, 4))

    def convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            (2, 2),
            ((1, 1), (1, 1)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=2,
        ).sum()

    forward = 2 * (2 * 4 * 4 * 4) * (3 * 3 * 3)
    assert floor._count(convolve, x, kernel).flop == forward
    assert floor._count(jax.value_and_grad(convolve, (0, 1)), x, kernel).flop == 3 * forward


def test_each_convolution_reads_its_operands_and_writes_its_result() -> None:
    x, matrix = jnp.ones((5, 7)), jnp.ones((7, 3))
    work = floor._count(lambda x, matrix: jnp.tanh(x @ matrix) * 2, x, matrix)
    assert work == Work(flop=2 * 5 * 7 * 3, bytes=4 * (5 * 7 + 7 * 3 + 5 * 3))


@pytest.mark.parametrize(("mode", "passes"), [("infer", 2), ("train", 5)])
def test_a_module_reads_and_writes_maps(mode: str, passes: int) -> None:
    module, x = attention.SE(reduction=4), jnp.ones((3, 4, 4, 16))
    weights = module.init(jax.random.key(0), x)
    work = floor.of_module(module.apply, weights, x, x=x, mode=mode)
    assert work.bytes == passes * 4 * 3 * 4 * 4 * 16
    assert work.flop == 2 * 3 * 16 * 4 * 2


def test_the_limits_of_this_machine_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    for table, small in ((floor._COPIED, 2**20), (floor._SIDE, 64), (floor._PICTURES, 1)):
        monkeypatch.setitem(table, "cpu", small)
    limits = floor.measure("float32")
    assert limits.flop_per_s > 0
    assert limits.bytes_per_s > 0
