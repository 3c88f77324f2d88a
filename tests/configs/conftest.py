"""What the tests of configs share."""

from tests.support.shapes import traced_quickly  # noqa: F401 - a fixture
