"""Every stream of random numbers of a run, by name: what its seed decides, and nothing else does.

A stream has a root of its own, derived from the seed in this file alone. With the generator of JAX
`split(key)[i]` equals `fold_in(key, i)`, so two streams that took numbers from one key in two ways would
meet: no key is used twice. A JAX stream is used through `fold_in` with the number of an epoch or a step, and
only what that gives is split further.

    key(seed, name) = fold_in(key(seed), STREAMS.index(name))

The streams on the host are those of `numpy.random.SeedSequence` with the same number as `spawn_key`.
"""

from typing import TYPE_CHECKING

import numpy as np

from chanattn import threefry

if TYPE_CHECKING:
    import jax

#: Where a name stands decides its numbers: a new stream is added at the end.
STREAMS = (
    "initialisation",  # of the parameters
    "order",  # of the examples, by epoch
    "augmentation",  # in the jitted step, mixup and cutmix among it, by step
    "model",  # dropout, stochastic depth, noisy gates, by step
    "crop",  # random resized crops, on the host, by step and row
    "rollback",  # the seed after a roll-back, by their number
)

#: Of the random numbers: runs of another version draw others from the same seed. Version 1 had no number.
VERSION = 2


def key(seed: "int | jax.Array", stream: str) -> "jax.Array":
    """The root of a stream on the devices.

    Args:
        seed: of the run; may be traced.
        stream: one of `STREAMS`.

    Returns:
        A key to be given to `jax.random.fold_in` with the number of an epoch or a step.
    """
    import jax  # worker processes, which load pictures, do without it

    # Whatever JAX_DEFAULT_PRNG_IMPL says: a run that is continued elsewhere goes on with the same numbers.
    return jax.random.fold_in(jax.random.key(seed, impl="threefry2x32"), STREAMS.index(stream))


def host_key(seed: int, stream: str) -> np.ndarray:
    """The same root as `key` gives, for `chanattn.threefry`."""
    return threefry.fold_in(threefry.key(seed), STREAMS.index(stream))


def sequence(seed: int, stream: str, *place: int) -> np.random.SeedSequence:
    """The numbers of a stream on the host, at a place in it: of an epoch, or of a step and a row.

    Args:
        seed: of the run.
        stream: one of `STREAMS`.
        place: whole numbers that tell this part of the stream from the others.
    """
    return np.random.SeedSequence(seed, spawn_key=(STREAMS.index(stream), *place))


def generator(seed: int, stream: str, *place: int) -> np.random.Generator:
    """A generator of the numbers of `sequence`."""
    return np.random.default_rng(sequence(seed, stream, *place))
