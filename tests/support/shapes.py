"""Networks of which a test wants the shapes alone, or what does not depend on the numbers drawn."""

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.core import Scope

from chanattn.layers import kernels


@pytest.fixture
def traced_quickly(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A third of the time: one way of convolving, not one for every platform, no random numbers, no names.

    Flax traces what initialises a parameter also where it is given, to compare the shapes; and it names every
    operation after the modules around it, for profiles.
    """
    param, make_rng, key = nn.Module.param, Scope.make_rng, jax.random.key(0)

    def quick(self: nn.Module, name: str, init: Any, *arguments: Any, **keywords: Any) -> Any:
        if len(arguments) == 2 and isinstance(arguments[0], tuple):  # shape and type
            init = lambda key, shape, dtype: jnp.zeros(shape, dtype)  # noqa: E731
        return param(self, name, init, *arguments, **keywords)

    def no_rng(self: Scope, name: str = "params") -> jax.Array:
        return key if name == "params" else make_rng(self, name)

    monkeypatch.setattr(nn.Module, "param", quick)
    monkeypatch.setattr(Scope, "make_rng", no_rng)
    with kernels.chosen("plain"), nn.override_named_call(enable=False):
        yield


@pytest.fixture
def drawn_by_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A third of the time of `init`: XLA compiles no generator of random numbers for every shape.

    Parameters that start as constants start as they always do, the others from numbers of the same size.
    """
    param, make_rng, key = nn.Module.param, Scope.make_rng, jax.random.key(0)
    generator = np.random.default_rng(0)

    def quick(self: nn.Module, name: str, init: Any, *arguments: Any, **keywords: Any) -> Any:
        new = self.scope is not None and not self.scope.has_variable("params", name)
        if new and len(arguments) == 2 and _is_random(init, tuple(arguments[0]), arguments[1]):
            shape, dtype = arguments
            values = generator.normal(size=shape) / math.sqrt(math.prod(shape[:-1]))
            init = lambda *_: jax.device_put(values.astype(dtype))  # noqa: E731
        return param(self, name, init, *arguments, **keywords)

    def no_rng(self: Scope, name: str = "params") -> jax.Array:
        return key if name == "params" else make_rng(self, name)

    monkeypatch.setattr(nn.Module, "param", quick)
    monkeypatch.setattr(Scope, "make_rng", no_rng)


@cache
def _is_random(init: Any, shape: tuple[int, ...], dtype: Any) -> bool:
    return "random_" in str(jax.make_jaxpr(lambda key: init(key, shape, dtype))(jax.random.key(0)))
