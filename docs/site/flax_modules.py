"""Signatures of Flax modules for the reference: fields are their arguments, which griffe cannot know."""

from collections.abc import Iterator
from typing import Any

import griffe

MODULE = "flax.linen.Module"


class FlaxModules(griffe.Extension):
    """Gives every Flax module of the package the `__init__` that `dataclasses` makes of its fields."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        """When all files have been read."""
        for found in classes(pkg):
            family = [*reversed(found.mro()), found]
            if not any(MODULE in (path(base) for base in one.bases) for one in family):
                continue
            fields: dict[str, griffe.Parameter] = {}
            for one in family:
                for name, attribute in one.attributes.items():
                    own(fields, name, attribute)
            ordered = sorted(fields.values(), key=lambda field: field.kind is KEYWORD)
            init = griffe.Function("__init__", parameters=griffe.Parameters(*ordered), parent=found)
            found.set_member("__init__", init)


KEYWORD = griffe.ParameterKind.keyword_only


def own(fields: dict[str, griffe.Parameter], name: str, attribute: griffe.Attribute) -> None:
    """Adds a field, or what a class makes of an inherited one, if it is an argument."""
    class_variable = "instance-attribute" not in attribute.labels
    if attribute.annotation is None or class_variable or name.startswith("_"):
        return
    default, kind = attribute.value, griffe.ParameterKind.positional_or_keyword
    if isinstance(default, griffe.ExprCall) and path(default) == "dataclasses.field":
        told = {part.name: part.value for part in default.arguments}
        if str(told.get("init")) == "False":
            fields.pop(name, None)
            return
        default = told.get("default")
        kind = KEYWORD if str(told.get("kw_only")) == "True" else kind
    fields[name] = griffe.Parameter(
        name, annotation=attribute.annotation, kind=kind, default=default
    )


def classes(module: griffe.Module) -> Iterator[griffe.Class]:
    """All classes of a package that are no aliases."""
    for member in module.members.values():
        if member.is_alias:
            continue
        if member.is_class:
            yield member
        elif member.is_module:
            yield from classes(member)


def path(expression: Any) -> str:
    """The name that an expression means, wherever it was imported from."""
    return str(getattr(expression, "canonical_path", expression))
