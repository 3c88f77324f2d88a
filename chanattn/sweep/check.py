"""Checks a whole grid before anything is written or started, and says all that is wrong with it at once."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from chanattn.errors import UsageError, did_you_mean
from chanattn.sweep.grid import Sweep, resolve, seeds
from chanattn.training.experiment import Outline, outline
from chanattn.training.metrics_log import check_views
from chanattn.training.validate import field_mistakes, validate

_GRID = "sweep()"


def check(recipe: ConfigDict, grid: Sweep, file: str, *, begun: bool = False) -> dict[str, Outline]:
    """Resolves and checks every variant; builds each network without computing anything.

    Args:
        recipe: what the variants share.
        grid: the variants.
        file: where both come from, for the message.
        begun: the sweep goes on, so that its runs have read what `model.init` names, and need it no more.

    Returns:
        What is known of the trainings, by variant.

    Raises:
        UsageError: there are mistakes; the message lists them all, with the variants that have them. Or a
            view of the metrics cannot be opened.
    """
    outlines: dict[str, Outline] = {}
    watched: ConfigDict | None = None
    mistakes = [(_GRID, message) for message in _grid_mistakes(grid)]
    for name, overrides in grid.variants.items():
        if not isinstance(overrides, Mapping):
            mistakes.append((name, f"overrides are a dict of fields, not {overrides!r}"))
            continue
        try:
            config = resolve(recipe, overrides)
            wrong = list(field_mistakes(config))
            if not wrong:
                validate(config)
                outlines[name] = outline(config, initial=not begun)
                watched = config if config.logging.wandb_project else watched
        except UsageError as error:
            wrong = [str(error)]
        mistakes += [(name, message) for message in wrong]
    if mistakes:
        raise UsageError(_message(file, mistakes, len(grid.variants)))
    if watched is not None:
        check_views(watched)
    return outlines


def chosen(grid: Sweep, names: Sequence[str]) -> list[str]:
    """The variants that `--only` names, in the grid's order; all if it names none.

    Raises:
        UsageError: there is no such variant.
    """
    listed = ", ".join(grid.variants)
    for name in names:
        if name not in grid.variants:
            near = did_you_mean(name, list(grid.variants))
            raise UsageError(f"no variant {name!r}.{near or f' There are: {listed}.'}")
    return [name for name in grid.variants if not names or name in names]


def by_owner(mistakes: Sequence[tuple[str, str]], everyone: int) -> Iterator[tuple[str, str]]:
    """Equal messages together: ("se_r4, se_r8", message), or ("every variant", message)."""
    owners: dict[str, list[str]] = {}
    for owner, message in mistakes:
        owners.setdefault(message, []).append(owner)
    for message, names in owners.items():
        yield "every variant" if len(names) == everyone > 1 else ", ".join(names), message


def _grid_mistakes(grid: Sweep) -> Iterator[str]:
    if not grid.variants:
        yield "there is no variant"
    for name in grid.variants:
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            yield f"a variant's name is printable text, not {name!r}"
    if grid.variants and grid.baseline not in grid.variants:
        yield _absent("baseline", grid.baseline, grid.variants)
    for published in grid.published:
        for name in published.values:
            if name not in grid.variants:
                yield _absent(f"published figure of {published.source!r} for", name, grid.variants)
    try:
        seeds(grid.seeds)
    except UsageError as error:
        yield str(error)


def _absent(what: str, name: str, variants: Mapping[str, Any]) -> str:
    return f"{what} {name!r} is no variant.{did_you_mean(name, list(variants))}".rstrip(".")


def _message(file: str, mistakes: Sequence[tuple[str, str]], variants: int) -> str:
    lines = [f"{owner}: {message}" for owner, message in by_owner(mistakes, variants)]
    if len(lines) == 1:
        return f"{file}, {lines[0]}"
    return "\n  ".join([f"{len(lines)} mistakes in {file}, nothing was started:", *lines])
