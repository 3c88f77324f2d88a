"""What the tests of networks share."""

from tests.support.shapes import traced_quickly  # noqa: F401 - a fixture
