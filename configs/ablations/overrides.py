"""A variant as the overrides of a recipe."""

from typing import Any

Overrides = dict[str, Any]


def attention(name: str, **options: Any) -> Overrides:
    """The mechanism of that name, with `placement`, `stages` and its own options."""
    chosen = {"name": name, **options}
    return {f"model.attention.{field}": value for field, value in chosen.items()}


def network(name: str) -> Overrides:
    """Another architecture than the recipe's."""
    return {"model.name": name}


NONE = attention("identity")
