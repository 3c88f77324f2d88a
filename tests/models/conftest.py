"""What the tests of networks share."""

from collections.abc import Iterator

import pytest

from chanattn.layers import kernels


@pytest.fixture
def traced_quickly() -> Iterator[None]:
    """For shapes alone: one way of convolving, not one for every platform, is traced in half the time."""
    with kernels.chosen("plain"):
        yield
