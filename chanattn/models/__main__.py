"""The families of architectures, their members with parameters, timm's networks that are here, the heads.

    python -m chanattn.models                         the families
    python -m chanattn.models --family=regnet         its members with their parameters
    python -m chanattn.models mobilenet               those whose names have that word in them
    python -m chanattn.models 'mobilenet*' 'tf_*'     those whose names match
    python -m chanattn.models --timm                  the same for names of timm; families and words, too
    python -m chanattn.models --heads

With --timm and a family or words: for each name of timm the architecture, the attention with its options and
the size of the pictures. With --timm alone: how many of timm's models with channel attention are here, family
by family, and which are not. Each name goes where an architecture does. With --heads: the heads for
segmentation, and what they cost on a ResNet-18 with pictures of 360x480.
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
from chanattn.models import families
from chanattn.models.timm_catalogue import CATALOGUE
from chanattn.models.timm_names import NETWORKS, missing

_SHOWN = 5  # names of a family
HEADS = flags.DEFINE_bool("heads", False, "the heads for segmentation, and what they cost")
FAMILY = flags.DEFINE_string("family", "", "the members of a family")
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
    """The names that match one of the patterns, or have it in them if none does; all without any.

    Raises:
        UsageError: A pattern matches none.
    """
    chosen = []
    for pattern in patterns:
        found = fnmatch.filter(names, pattern) or [n for n in names if pattern in n]
        if not found:
            raise UsageError(
                f"no architecture matches {pattern!r}; without a pattern, the families are listed"
                f".{did_you_mean(pattern, names)}"
            )
        chosen += found
    return [n for n in names if not patterns or n in chosen]


def _of_family(names: Mapping[str, str]) -> list[str]:
    """Those whose architecture is of the family that was asked for, all without any."""
    if FAMILY.value:
        families.check(FAMILY.value)
    return [n for n, row in names.items() if FAMILY.value in ("", families.family(row))]


def main(patterns: list[str]) -> None:
    """Print the rows that match, or the families: CIFAR networks with 10 classes, ImageNet's with 1000."""
    folded = not (patterns or FAMILY.value)
    if TIMM.value:
        of_timm = _of_family({name: network.architecture for name, network in NETWORKS.items()})
        _print_timm(Console(width=150), _chosen(patterns, of_timm), folded)
        return
    if HEADS.value:
        Console(width=150).print(_table_of_heads())
        return
    if folded:
        Console(width=150).print(_table_of_families())
        return
    table = Table(title="Architectures, without attention in the gate slot")
    for column in ("name", "block", "stem", "shortcut", "blocks a stage", "conv slot"):
        table.add_column(column)
    table.add_column("classes", justify="right")
    table.add_column("parameters", justify="right")
    names = _chosen(patterns, _of_family({name: name for name in models.names()}))
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


def _table_of_families() -> Table:
    """Who belongs to each family, and with which attention timm's networks of it were published."""
    table = Table(
        title="Families of architectures",
        caption="all members with parameters: --family=NAME, or a word",
    )
    table.add_column("family")
    table.add_column("members", justify="right")
    table.add_column("published with")
    table.add_column("names")
    for name in families.names():
        members = [row for row in models.names() if families.family(row) == name]
        published = dict.fromkeys(
            network.attention["name"]
            for network in NETWORKS.values()
            if network.attention and network.architecture in members
        )
        conv = (models.create(row).slots.conv.name for row in members)
        published |= dict.fromkeys(each for each in conv if each != "identity")
        shown = [*members[:_SHOWN], "..."] if len(members) > _SHOWN + 1 else members
        table.add_row(name, str(len(members)), ", ".join(published), " ".join(shown))
    return table


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


def _print_timm(console: Console, chosen: list[str], folded: bool) -> None:
    if folded:
        _print_what_is_missing(console)
        return
    table = Table(title="Networks of timm 1.0.31 by its names")
    for column in ("timm", "architecture", "attention"):
        table.add_column(column)
    table.add_column("pictures", justify="right")
    for name, network in ((name, NETWORKS[name]) for name in chosen):
        model = models.create(name)
        own = network.attention or _built_in(model)
        table.add_row(name, network.architecture, _shown(own), str(model.image_size))
    console.print(table)


def _print_what_is_missing(console: Console) -> None:
    table = Table(
        title="Networks of timm 1.0.31 by families",
        caption="all names and what they stand for: --timm '*'; of a family: --timm --family=NAME",
    )
    for column in ("family", "names", "with channel attention", "with weights, too"):
        table.add_column(column, justify="left" if column == "family" else "right")
    weighted = {name: has for names in CATALOGUE.values() for name, has in names.items()}
    for family in families.names():
        of_it = [n for n, net in NETWORKS.items() if families.family(net.architecture) == family]
        numbers = (
            len(of_it),
            sum(n in weighted for n in of_it),
            sum(weighted.get(n, False) for n in of_it),
        )
        if of_it:
            table.add_row(family, *map(str, numbers))
    console.print(table)

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
