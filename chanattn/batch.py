"""What a batch is, and what is summed over it."""

import jax

#: Arrays by name, the first dimension of each that of the examples: `image`, `label`, `mask`, ...
Batch = dict[str, jax.Array]
#: A sum over examples, and over how many.
Pair = tuple[jax.Array, jax.Array]
