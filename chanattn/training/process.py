"""What a run sets for its whole process is put back when the run ends.

Two runs in one process, as in a notebook, must not influence each other, nor what else happens there. What
cannot be taken back is that JAX has started, with the devices that the first run asked for.
"""

import contextlib
import os
from collections.abc import Iterator

import jax

from chanattn.layers import kernels
from chanattn.training import allocator, compilation_cache

_VARIABLES = ("PJRT_NPROC", "XLA_FLAGS")
_SETTINGS = ("jax_platforms",)


@contextlib.contextmanager
def as_before() -> Iterator[None]:
    """Puts back environment variables, JAX's settings, the choice of kernels and the allocator's habits.

    Also a decorator.
    """
    variables = {name: os.environ.get(name) for name in _VARIABLES}
    settings = {name: getattr(jax.config, name) for name in _SETTINGS}
    with kernels.chosen(kernels.choice()), compilation_cache.as_before():
        try:
            yield
        finally:
            allocator.give_back()
            for name, value in settings.items():
                jax.config.update(name, value)
            for name, variable in variables.items():
                if variable is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = variable
