"""Rows of one table share one recipe: what that is, and the refusal of runs that have another.

Not part of the recipe: the seed, what variants override (each run must have what its variant sets), and how
often something is written. Fields of the machine may change numbers in the last digits, not what is compared:
they are noted where runs differ (`chanattn.report.environment`).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from chanattn.class_names import difference
from chanattn.errors import UsageError
from chanattn.report.read import Sweep, Variant
from chanattn.runs.run import Run

MACHINE = ("platform", "cpu_devices", "kernels", "dataset.loader")
"""Fields that choose how the same mathematics is computed."""
UNRELATED = (
    *("seed", "log_every", "eval_every", "checkpoint_every", "checkpoint", "logging"),
    *("compilation_cache", "dataset.data_dir", "dataset.workers"),
)
"""Fields that change no number of the result, and the seed; a group stands for all its fields."""
BETWEEN_SWEEPS = ("dataset", "model.name", "model.num_classes")
"""What the columns of a merged table may differ in."""

MOST_NAMED = 4


def below(path: str, groups: Iterable[str]) -> bool:
    """Whether a dotted path is one of `groups` or lies in one."""
    return any(path == group or path.startswith(group + ".") for group in groups)


def overridden(sweep: Sweep) -> list[str]:
    """The paths that some variant overrides."""
    return list(dict.fromkeys(path for v in sweep.variants for path in v.overrides))


def shared(sweep: Sweep) -> dict[str, Any]:
    """The recipe: what all runs have in common, by dotted path; empty before the first run starts.

    Fields that are null, as options that the mechanism does not take, are left out.
    """
    for run in sweep.runs:
        if run.config is not None:
            free = overridden(sweep)
            return {
                path: value
                for path, value in run.fields().items()
                if value is not None and path != "seed" and not below(path, free)
            }
    return {}


def check(sweep: Sweep) -> None:
    """Refuses a sweep whose runs do not share their recipe.

    Raises:
        UsageError: naming a run and the fields in which it differs from another, from its variant's
            overrides, or from the seed of its directory; or two runs have other classes.
    """
    exempt = (*UNRELATED, *MACHINE)
    configs = [
        (variant, run, run.fields())
        for variant in sweep.variants
        for run in variant.runs
        if run.config is not None
    ]
    paths = dict.fromkeys(
        path for _, _, found in configs for path in found if not below(path, exempt)
    )
    first: dict[str, tuple[Run, Any]] = {}
    for variant, run, found in configs:
        _check_own(sweep, run, found, variant.overrides)
        differences = []
        for path in paths:
            if below(path, variant.overrides):
                continue
            value = found.get(path)  # one that is absent counts as null, as in a resumed run
            other, expected = first.setdefault(path, (run, value))
            if value != expected:
                differences.append(f"{path} = {value!r}, but {other.name} has {expected!r}")
        if differences:
            raise UsageError(_refusal(f"{sweep.folder}: {run.name} has ", differences))
    _check_classes(sweep)


def _check_classes(sweep: Sweep) -> None:
    """Runs on one data set must have been trained on the same classes."""
    first: dict[str, Run] = {}
    for run in sweep.runs:
        if run.config is None or run.classes is None:
            continue
        other = first.setdefault(str(run.fields().get("dataset.name")), run)
        wrong = difference(other.classes or (), run.classes)
        if wrong:
            raise UsageError(
                f"{sweep.folder}: {run.name} was trained on other classes than {other.name} ({wrong}); run"
                " these again, or sweep into another --workdir"
            )


def check_merge(sweeps: Sequence[Sweep]) -> None:
    """Refuses sweeps that cannot stand side by side in one table.

    Raises:
        UsageError: they differ in more than data set and network: in the recipe, in what a variant of one
            name overrides, or in the baseline.
    """
    first = sweeps[0]
    known = {variant.name: variant for variant in first.variants}
    for sweep in sweeps[1:]:
        between = f"{sweep.folder} and {first.folder} cannot be merged: "
        ours, theirs = sweep.record.baseline, first.record.baseline
        if ours != theirs:
            raise UsageError(f"{between}the baselines are {ours!r} and {theirs!r}")
        for variant in sweep.variants:
            other = known.get(variant.name)
            if other is None:
                continue
            if variant.overrides != other.overrides:
                raise UsageError(f"{between}variant {variant.name!r} overrides other fields")
            differences = _between(variant, other)
            if differences:
                raise UsageError(_refusal(f"{between}the recipes differ, ", differences))


def _between(one: Variant, other: Variant) -> list[str]:
    """In what the first runs of two variants differ that are one variant in two sweeps."""
    here, there = _begun(one), _begun(other)
    if here is None or there is None:
        return []
    exempt = (*UNRELATED, *MACHINE, *BETWEEN_SWEEPS)
    return [
        f"{path} = {here.get(path)!r} against {there.get(path)!r}"
        for path in dict.fromkeys([*here, *there])
        if not below(path, exempt) and here.get(path) != there.get(path)
    ]


def _begun(variant: Variant) -> dict[str, Any] | None:
    return next((run.fields() for run in variant.runs if run.config is not None), None)


def _check_own(sweep: Sweep, run: Run, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """A run must be what its place in the sweep says."""
    if found.get("seed") != run.seed:
        raise UsageError(
            f"{sweep.folder}: {run.name} has seed = {found.get('seed')!r}; it lies in the wrong directory"
        )
    differences = [
        f"{path} = {found.get(path)!r}, but its variant sets {value!r}"
        for path, value in wanted.items()
        if found.get(path) != value
    ]
    if differences:
        raise UsageError(_refusal(f"{sweep.folder}: {run.name} has ", differences))


def _refusal(head: str, differences: Sequence[str]) -> str:
    more = len(differences) - MOST_NAMED
    tail = f"; and {more} more fields" if more > 0 else ""
    return (
        f"{head}{'; '.join(differences[:MOST_NAMED])}{tail}. Rows of one table share one recipe:"
        " run these again, or sweep into another --workdir"
    )
