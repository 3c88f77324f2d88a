"""The fields of a nested config by dotted path."""

from collections.abc import Mapping
from typing import Any

NAMES_OF_KINDS = {
    int: "an integer",
    float: "a number",
    bool: "true or false",
    str: "a text",
    tuple: "a tuple",
}
"""The types of fields, as messages call them."""


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every field by its dotted path: `{"optimizer.learning_rate": 0.1, ...}`.

    Args:
        config: a `ConfigDict`, or what `config.json` holds.
        prefix: of all paths.
    """
    found: dict[str, Any] = {}
    for name, value in config.items():
        if hasattr(value, "items"):  # a `ConfigDict` is no `Mapping`
            found |= flatten(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found
