"""Networks of which a test wants the shapes alone."""

from collections.abc import Iterator
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import pytest

from chanattn.layers import kernels


@pytest.fixture
def traced_quickly(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Half the time: one way of convolving, not one for every platform, and no random numbers."""
    param = nn.Module.param

    def quick(self: nn.Module, name: str, init: Any, *arguments: Any, **keywords: Any) -> Any:
        if len(arguments) == 2 and isinstance(arguments[0], tuple):  # shape and type
            init = lambda key, shape, dtype: jnp.zeros(shape, dtype)  # noqa: E731
        return param(self, name, init, *arguments, **keywords)

    monkeypatch.setattr(nn.Module, "param", quick)
    with kernels.chosen("plain"):
        yield
