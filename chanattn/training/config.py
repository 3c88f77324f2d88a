"""A config as JSON, and how two of them differ: shared by command line, checks and run directory."""

from typing import Any

from ml_collections import ConfigDict

from chanattn.config import allow_any_type
from chanattn.fields import flatten
from chanattn.runs.config import Config


def to_json(config: ConfigDict) -> str:
    """The config as indented JSON; tuples become lists."""
    return Config(config.to_dict()).to_text()


def from_json(text: str) -> ConfigDict:
    """The locked config that `to_json` wrote; every list is a tuple again, as in `chanattn.config`.

    Fields that came later than the text are added, so that the run of an earlier version can be evaluated and
    continued.

    Raises:
        ValueError: the text is not JSON of an object.
    """
    config = ConfigDict(_tuples(dict(Config.from_text(text).values)))
    return allow_any_type(config).lock()


def changed_fields(old: ConfigDict, new: ConfigDict) -> dict[str, tuple[Any, Any]]:
    """`{path: (old value, new value)}` of the fields that differ.

    A field that one side lacks counts as None there, so a run written before a mechanism brought a
    new option (whose default is None) still is the same run.
    """
    before, after = flatten(old), flatten(new)
    paths = dict.fromkeys([*before, *after])
    pairs = {path: (before.get(path), after.get(path)) for path in paths}
    return {path: pair for path, pair in pairs.items() if pair[0] != pair[1]}


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _tuples(item) for name, item in value.items()}
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    return value
