"""What the tests of attention share."""

from tests.support.shapes import drawn_by_numpy  # noqa: F401 - a fixture
