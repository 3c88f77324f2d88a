"""The table of architectures with their parameters; or the networks of timm that are here; or the heads.

    python -m chanattn.models
    python -m chanattn.models 'mobilenet*' 'tf_*'     those alone whose names match
    python -m chanattn.models --timm                  patterns are for its names then
    python -m chanattn.models --heads

With --timm: for each name of timm the architecture, the attention with its options and the size of the
pictures, then what timm has beside these with channel attention. Each name goes where an architecture does.
With --heads: the heads for segmentation, and what they cost on a ResNet-18 with pictures of 360x480.
"""

import fnmatch
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from absl import flags
from rich.console import Console
from rich.table import Table

from chanattn import cli, models
from chanattn.errors import UsageError, did_you_mean
from chanattn.layers import kernels
from chanattn.macs import count
from chanattn.models.timm_catalogue import CATALOGUE
from chanattn.models.timm_names import NETWORKS, missing

HEADS = flags.DEFINE_bool("heads", False, "the heads for segmentation, and what they cost")
TIMM = flags.DEFINE_bool("timm", False, "the networks of timm by its names, and what is missing")


def count_parameters(name: str, num_classes: int) -> int:
    """Trainable parameters of an architecture without attention in the gate slot, from shapes alone."""
    model = models.create(name, num_classes=num_classes, attention="identity")
    image = jax.ShapeDtypeStruct((1, model.image_size, model.image_size, 3), jnp.float32)
    with kernels.chosen("plain"):  # traced in half the time
        variables = jax.eval_shape(model.init, jax.random.key(0), image)
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def _details(model: models.Network) -> list[str]:
    """Block, stem and shortcut of a ResNet; the kinds of blocks, or the class, of another network."""
    if isinstance(model, models.ResNet):
        return [model.block, model.stem, model.shortcut]
    if isinstance(model, models.InvertedResidualNet):
        kinds = dict.fromkeys(row.kind for rows in model.groups for row in rows)
        return [", ".join(kinds), "", ""]
    return [type(model).__name__, "", ""]


def _chosen(patterns: list[str], names: list[str]) -> list[str]:
    """The names that match one of the patterns, all without any.

    Raises:
        UsageError: A pattern matches none.
    """
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise UsageError(
                f"no architecture matches {pattern!r}; without a pattern, all are listed"
                f".{did_you_mean(pattern, names)}"
            )
    return [n for n in names if not patterns or any(fnmatch.fnmatch(n, p) for p in patterns)]


def main(patterns: list[str]) -> None:
    """Print the rows that match, or all: CIFAR networks with 10 classes, ImageNet networks with 1000."""
    if TIMM.value:
        _print_timm(Console(width=150), _chosen(patterns, list(NETWORKS)))
        return
    if HEADS.value:
        Console(width=150).print(_table_of_heads())
        return
    table = Table(title="Architectures, without attention in the gate slot")
    for column in ("name", "block", "stem", "shortcut", "blocks a stage", "conv slot"):
        table.add_column(column)
    table.add_column("classes", justify="right")
    table.add_column("parameters", justify="right")
    names = _chosen(patterns, models.names())
    for name in cli.tracked(names, f"counting the parameters of {len(names)} networks", len(names)):
        model = models.create(name, attention="identity")
        num_classes = 10 if model.image_size == 32 else 1000
        conv = model.slots.conv
        table.add_row(
            name,
            *_details(model),
            "-".join(map(str, model.depths)),
            "" if conv.name == "identity" else conv.name,
            str(num_classes),
            f"{count_parameters(name, num_classes):,}",
        )
    Console(width=150).print(table)


def costs_of_head(head: str, name: str, size: tuple[int, int], num_classes: int) -> tuple[int, ...]:
    """What a head costs on a backbone, from shapes alone.

    Returns:
        Parameters that an evaluation reads, those that training has besides, and the multiply-accumulates of
        an evaluation in convolutions and matrix products (those of interpolation among them).
    """
    image = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)

    def evaluation(model: models.Network) -> tuple[Any, int]:
        """Variables that it reads, because others are not made; and what it multiplies."""

        def run(x: jax.Array) -> Any:
            rngs = {"params": jax.random.key(0)}
            return model.apply({}, x, mutable=["params", "batch_stats"], rngs=rngs)[1]

        variables = jax.eval_shape(run, image)
        return variables, count(model.apply, variables, image).total

    model = models.create(name, num_classes=num_classes, head=head)
    with kernels.chosen("plain"):
        read, macs = evaluation(model)
        _, of_backbone = evaluation(model.backbone())
        made = jax.eval_shape(model.init, jax.random.key(0), image)
    used, every = (
        sum(leaf.size for leaf in jax.tree.leaves(variables["params"][head]))
        for variables in (read, made)
    )
    return used, every - used, macs - of_backbone


def _table_of_heads() -> Table:
    name, size, classes = "resnet18", (360, 480), 11
    table = Table(title=f"Heads on {name}, {size[0]}x{size[1]}, {classes} classes")
    for column in ("head", "attention of its own"):
        table.add_column(column)
    for column in ("parameters", "and in training", "multiply-accumulates, 1e9"):
        table.add_column(column, justify="right")
    for head in models.heads.names():
        if not models.heads.is_dense(head):
            continue
        own = [slot.name for slot in models.heads.mechanisms(head, None)]
        used, further, macs = costs_of_head(head, name, size, classes)
        table.add_row(head, ", ".join(own), f"{used:,}", f"{further:,}", f"{macs / 1e9:.2f}")
    return table


def _print_timm(console: Console, chosen: list[str]) -> None:
    table = Table(title="Networks of timm 1.0.31 by its names")
    for column in ("timm", "architecture", "attention"):
        table.add_column(column)
    table.add_column("pictures", justify="right")
    for name, network in ((name, NETWORKS[name]) for name in chosen):
        model = models.create(name)
        own = network.attention or _built_in(model)
        table.add_row(name, network.architecture, _shown(own), str(model.image_size))
    console.print(table)
    if len(chosen) < len(NETWORKS):
        return

    left = missing()
    lacking = Table(title="Models of timm 1.0.31 with channel attention that are not here")
    lacking.add_column("file")
    for column in ("models", "of", "with weights"):
        lacking.add_column(column, justify="right")
    lacking.add_column("names")
    for file, names in left.items():
        weights, listed = sum(names.values()), " ".join(names)
        lacking.add_row(file, *map(str, (len(names), len(CATALOGUE[file]), weights)), listed)
    console.print(lacking)
    every = [weights for names in CATALOGUE.values() for weights in names.values()]
    absent = [weights for names in left.values() for weights in names.values()]
    console.print(
        f"{len(every) - len(absent)} of {len(every)} models with channel attention are here,"
        f" {sum(every) - sum(absent)} of {sum(every)} with published weights.",
        highlight=False,
    )


def _built_in(model: models.Network) -> dict[str, Any]:
    conv = model.slots.conv
    return {"name": conv.name, **dict(conv.options)} if conv.name != "identity" else {}


def _shown(attention: Mapping[str, Any]) -> str:
    name, *options = [f"{k}={v}" if k != "name" else str(v) for k, v in attention.items()] or [""]
    return f"{name} ({', '.join(options)})" if options else name


if __name__ == "__main__":
    cli.run(main, positionals=True)
