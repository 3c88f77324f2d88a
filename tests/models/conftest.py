"""What the tests of networks share."""

from tests.support.shapes import drawn_by_numpy, traced_quickly  # noqa: F401 - fixtures
