"""docs/sown.md: what each mechanism shows in the collection `attention`, found by running it.

python -m docs.generate.sown
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from chanattn import attention
from chanattn.markdown import table

PAGE = Path(__file__).resolve().parents[1] / "sown.md"

PICTURES, HEIGHT, WIDTH, CHANNELS = 2, 6, 8, 32

_HEAD = f"""\
# What each mechanism sows

Written by `python -m docs.generate.sown`; a test keeps it up to date.

A mechanism puts the weights that it has used into the collection `attention`:

```python
y, sown = module.apply(variables, x, mutable=["attention"])
sown["attention"]  # the arrays of the table, by their names
```

They cost nothing when nobody asks for them. The shapes are those of a map (N, H, W, C) = ({PICTURES},
{HEIGHT}, {WIDTH}, {CHANNELS}) at default options; a mechanism of the conv slot has {CHANNELS} filters. A
shape of ({PICTURES}, {CHANNELS}) is one weight for every channel of every picture, and ({PICTURES},
{HEIGHT}, {WIDTH}, {CHANNELS}) one for every value of the map. In a network the arrays lie under the path
of their module: `sown["attention"]["stage1_block1"]["attention"]["weights"]`.
"""


def arrays(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of what a mechanism sows; the modules inside of it are joined by `/`."""
    in_conv_slot = attention.describe(name).slot == "conv"
    context: dict[str, Any] = {"filters": CHANNELS} if in_conv_slot else {}
    module = attention.create(name, **context)
    x = jax.ShapeDtypeStruct((PICTURES, HEIGHT, WIDTH, CHANNELS), jnp.float32)
    variables = jax.eval_shape(module.init, jax.random.key(0), x)
    _, changed = jax.eval_shape(
        lambda variables, x: module.apply(variables, x, mutable=["attention"]), variables, x
    )
    found = jax.tree.leaves_with_path(changed.get("attention", {}))
    return {"/".join(entry.key for entry in path): leaf.shape for path, leaf in found}


def rows() -> Iterator[tuple[str, str]]:
    """The cells of every mechanism."""
    for name in attention.names():
        shown = arrays(name).items()
        yield f"`{name}`", ", ".join(f"`{path}` {shape}" for path, shape in shown) or "nothing"


def markdown() -> str:
    """The text of the page."""
    return "\n".join((_HEAD, *table(("mechanism", "arrays"), rows()), ""))


if __name__ == "__main__":
    PAGE.write_text(markdown(), encoding="utf-8")
