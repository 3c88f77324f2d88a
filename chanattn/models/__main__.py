"""`python -m chanattn.models`: the table of architectures with their parameters.

python -m chanattn.models 'mobilenet*' 'tf_*'      those alone whose names match
"""

import fnmatch

import jax
import jax.numpy as jnp
from rich.console import Console
from rich.table import Table

from chanattn import cli, models
from chanattn.errors import UsageError, did_you_mean
from chanattn.layers import kernels


def count_parameters(name: str, num_classes: int) -> int:
    """Trainable parameters of an architecture, from shapes alone."""
    model = models.create(name, num_classes=num_classes)
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


def _chosen(patterns: list[str]) -> list[str]:
    """The architectures that match one of the patterns, all without any.

    Raises:
        UsageError: A pattern matches none.
    """
    names = models.names()
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise UsageError(
                f"no architecture matches {pattern!r}; without a pattern, all are listed"
                f".{did_you_mean(pattern, names)}"
            )
    return [n for n in names if not patterns or any(fnmatch.fnmatch(n, p) for p in patterns)]


def main(patterns: list[str]) -> None:
    """Print the rows that match, or all: CIFAR networks with 10 classes, ImageNet networks with 1000."""
    table = Table(title="Architectures, without attention in the gate slot")
    for column in ("name", "block", "stem", "shortcut", "blocks a stage", "conv slot"):
        table.add_column(column)
    table.add_column("classes", justify="right")
    table.add_column("parameters", justify="right")
    names = _chosen(patterns)
    for name in cli.tracked(names, f"counting the parameters of {len(names)} networks", len(names)):
        model = models.create(name)
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


if __name__ == "__main__":
    cli.run(main, positionals=True)
