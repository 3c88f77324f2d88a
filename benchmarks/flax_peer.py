"""The peer `flax`: the same network of plain nn.Conv, nn.BatchNorm and nn.Dense, trained by a plain step.

It runs in this interpreter on one device, which is what JAX has on a CPU unless told otherwise, and uses all
cores. Names and shapes of the parameters are those of `chanattn.models`, so that one set of variables fits
both, and a test can compare their outputs. Gates are ours: beside the convolutions they cost little.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from benchmarks.rows import CONV_SLOT, Row, Side
from chanattn import attention
from chanattn.analysis.timing import Repeated
from chanattn.errors import UsageError
from chanattn.layers import kernels

LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.01, 0.9, 1e-4


def conv_norm(
    x: jax.Array, features: int, size: int, stride: int, *, train: bool, number: str = ""
) -> jax.Array:
    """Convolution without bias, padded alike on both sides, and batch norm with PyTorch's momentum.

    Args:
        x: (N, H, W, C), in the type of the computation.
        features: of the output, (N, H', W', features).
        size: of the kernel.
        stride: of the convolution.
        train: whether the norm uses the statistics of the batch.
        number: at the end of both layers' names.
    """
    padding, window = (size - 1) // 2, (size, size)
    conv = nn.Conv(
        features, window, stride, padding, use_bias=False, dtype=x.dtype, name=f"conv{number}"
    )
    return nn.BatchNorm(not train, momentum=0.9, dtype=x.dtype, name=f"bn{number}")(conv(x))


class ConvNorm(nn.Module):
    """`conv_norm` under a name of its own, as the stem and the shortcuts are."""

    features: int
    size: int
    stride: int
    number: str = ""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """(N, H, W, C) -> (N, H', W', features)."""
        return conv_norm(x, self.features, self.size, self.stride, train=train, number=self.number)


class PlainBlock(nn.Module):
    """Basic or bottleneck block with a gate.

    Attributes:
        planes: width before the bottleneck's expansion.
        stride: of its first 3x3 convolution.
        bottleneck: whether 1x1 convolutions surround the 3x3 one.
        options: name and options of the gate.
    """

    planes: int
    stride: int
    bottleneck: bool
    options: Mapping[str, Any]

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """(N, H, W, C) -> (N, H', W', planes), or 4 planes of a bottleneck."""
        if self.bottleneck:
            y = nn.relu(conv_norm(x, self.planes, 1, 1, train=train, number="1"))
            y = nn.relu(conv_norm(y, self.planes, 3, self.stride, train=train, number="2"))
            y = conv_norm(y, 4 * self.planes, 1, 1, train=train, number="3")
        else:
            y = nn.relu(conv_norm(x, self.planes, 3, self.stride, train=train, number="1"))
            y = conv_norm(y, self.planes, 3, 1, train=train, number="2")
        options = dict(self.options)
        y = attention.create(options.pop("name"), name="attention", **options)(y, train=train)
        more = y.shape[-1] - x.shape[-1]
        if self.bottleneck and (more or self.stride > 1):
            x = ConvNorm(y.shape[-1], 1, self.stride, name="shortcut")(x, train)
        elif more:
            x = jnp.pad(x[:, :: self.stride, :: self.stride], ((0, 0),) * 3 + ((0, more),))
        return nn.relu(y + x)


class PlainResNet(nn.Module):
    """ResNet-20 for 32x32 or ResNet-50 for 224x224 pictures.

    Attributes:
        row: which of them, its gate, its number of classes and the type of its activations.
    """

    row: Row

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> tuple[jax.Array, dict[str, Any]]:
        """(N, H, W, 3) -> logits (N, classes), float32, and no endpoints."""
        large = self.row.architecture == "resnet50"
        depths, width = ((3, 4, 6, 3), 64) if large else ((3, 3, 3), 16)
        x = x.astype(self.row.precision)
        x = nn.relu(ConvNorm(width, *((7, 2) if large else (3, 1)), "1", name="stem")(x, train))
        if large:
            x = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
        for stage, depth in enumerate(depths):
            for number in range(depth):
                stride = 2 if stage and not number else 1
                name = f"stage{stage + 1}_block{number + 1}"
                block = PlainBlock(width * 2**stage, stride, large, self.row.options, name=name)
                x = block(x, train)
        pooled = jnp.mean(x, axis=(1, 2), dtype=jnp.float32)
        return nn.Dense(self.row.num_classes, name="classifier")(pooled), {}


def check(row: Row) -> None:
    """Refuses rows that have no plain Flax form.

    Raises:
        UsageError: the row is a module alone, or its mechanism replaces a convolution.
    """
    if not row.architecture or row.head or row.attention in CONV_SLOT:
        raise UsageError(
            f"--against=flax compares classifiers without attention or with a gate, not {row.name!r}; use"
            " --rows=resnet20,resnet20_se or --against=timm"
        )


def build(row: Row, mode: str) -> Side:
    """The peer, compiled; the convolutions inside its gates are plain too.

    Args:
        row: a network that passes `check`.
        mode: train or infer.
    """
    model = PlainResNet(row)
    images = jax.random.normal(jax.random.key(0), row.shape)
    labels = jax.random.randint(jax.random.key(1), (row.batch,), 0, row.num_classes)
    with kernels.chosen("plain"):
        variables = jax.jit(model.init)(jax.random.key(0), images[:1])
        if mode == "infer":
            infer = jax.jit(lambda variables, images: model.apply(variables, images)[0])
            run = infer.lower(variables, images).compile()
            program = Repeated(lambda carry: (carry, run(variables, images)))
        else:
            program = _training(model, variables, images, labels)
    parameters = optax.tree.size(variables["params"])
    return Side(program.run, parameters, "plain Flax, 1 device")


def _training(model: PlainResNet, variables: Any, images: jax.Array, labels: jax.Array) -> Repeated:
    optimizer = optax.chain(
        optax.add_decayed_weights(WEIGHT_DECAY), optax.sgd(LEARNING_RATE, MOMENTUM)
    )

    def step(state: Any, images: jax.Array, labels: jax.Array) -> tuple[Any, jax.Array]:
        params, stats, moments = state

        def loss(params: Any) -> Any:
            weights = {"params": params, "batch_stats": stats}
            (logits, _), moved = model.apply(weights, images, train=True, mutable=["batch_stats"])
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return losses.mean(), moved["batch_stats"]

        (value, moved), gradients = jax.value_and_grad(loss, has_aux=True)(params)
        updates, moments = optimizer.update(gradients, moments, params)
        return (optax.apply_updates(params, updates), moved, moments), value

    params, stats = (jax.tree.map(jnp.copy, variables[name]) for name in ("params", "batch_stats"))
    state = (params, stats, optimizer.init(params))
    compiled = jax.jit(step, donate_argnums=0).lower(state, images, labels).compile()
    return Repeated(lambda state: compiled(state, images, labels), state)
