"""The files of a sweep: `sweep.json`, the configs of its runs, and where everything lies.

    SWEEP/sweep.json               the grid and the published figures
    SWEEP/jobs/<dir>/seed<k>.json  the resolved config of each run
    SWEEP/runs/<dir>/seed<k>/      the run directories
    SWEEP/cache/                   compiled programs, where the user has no folder for them

A changed grid adds variants and seeds to what is there, and takes nothing away.
"""

import hashlib
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ml_collections import ConfigDict

from chanattn.class_names import difference
from chanattn.errors import UsageError
from chanattn.runs.classes import read_classes
from chanattn.runs.config import Config
from chanattn.runs.json_object import Damaged
from chanattn.runs.layout import JOBS, RUNS
from chanattn.runs.sweep import SweepRecord, Variant
from chanattn.sweep.check import by_owner
from chanattn.sweep.grid import Sweep, job_config
from chanattn.sweep.launchers.base import Job
from chanattn.training.config import changed_fields, from_json
from chanattn.training.run_directory import command_line, git_revision, versions

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHOWN = 8  # differences in a message


def directory_name(variant: str) -> str:
    """The folder of a variant: its name where that is safe, else a part of it and a hash of the whole."""
    if _PLAIN.fullmatch(variant):
        return variant
    slug = re.sub(r"[^A-Za-z0-9]+", "_", variant).strip("_")[:40] or "variant"
    return f"{slug}-{hashlib.sha256(variant.encode()).hexdigest()[:8]}"


def job(sweep: Path, variant: str, seed: int) -> Job:
    """Where the run of a variant with a seed lies."""
    place = Path(directory_name(variant), f"seed{seed}")
    sweep = sweep.absolute()
    config = (sweep / JOBS / place).with_suffix(".json")
    return Job(variant, seed, config, sweep / RUNS / place, cache=_cache(sweep))


def _cache(sweep: Path) -> Path | None:
    """Where the runs share compiled programs; None: XLA takes no name that is not UTF-8."""
    folder = sweep / "cache"
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        return None
    return folder


def read(sweep: Path) -> SweepRecord | None:
    """What `sweep.json` holds; None if the folder is new.

    Raises:
        UsageError: the folder holds something that is no sweep, or one that cannot be read.
    """
    if sweep.exists() and not sweep.is_dir():
        raise UsageError(f"{sweep} is a file; choose another --workdir")
    try:
        index = SweepRecord.read(sweep)
    except Damaged as error:
        raise UsageError(f"{error}; restore it, or choose another --workdir") from error
    if index is None and sweep.is_dir() and any(sweep.glob("[!.]*")):
        raise UsageError(f"{sweep} holds something else than a sweep; choose another --workdir")
    return index


def check_unchanged(sweep: Path, recipe: ConfigDict, grid: Sweep, name: str) -> None:
    """Refuses to continue a sweep whose runs were begun with another recipe or other overrides.

    Args:
        sweep: its folder, which need not exist.
        recipe: what all variants share now.
        grid: the variants now; those that are gone from it are checked as they were.
        name: of the sweep.

    Raises:
        UsageError: it is another sweep, or something differs; the message lists the differences.
    """
    index = read(sweep)
    if index is None:
        return
    if index.name != name:
        raise UsageError(
            f"{sweep} holds the sweep {index.name!r}, not {name!r}; choose another --workdir"
        )
    changes = []
    for variant, entry in index.variants.items():
        begun = _first_job(sweep, variant, index.seeds)
        if begun is None:
            continue
        try:
            now = job_config(recipe, grid.variants.get(variant, entry.overrides), begun.seed)
        except UsageError as error:  # only of a variant that is gone: the others have been checked
            changes.append((variant, str(error)))
            continue
        try:
            before = from_json(begun.config.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise UsageError(
                f"{begun.config} is damaged ({reason}); delete it, and the sweep writes it again"
            ) from error
        for path, (old, new) in changed_fields(before, now).items():
            changes.append((variant, f"{path} {old!r} -> {new!r}"))
    if not changes:
        return
    lines = [f"{owner}: {change}" for owner, change in by_owner(changes, len(index.variants))]
    if len(lines) > _SHOWN:
        lines[_SHOWN:] = [f"and {len(lines) - _SHOWN} more"]
    raise UsageError(
        f"{sweep} holds this sweep with another recipe ({'; '.join(lines)}); choose another"
        " --workdir, undo the change, or give the changed variant a name of its own"
    )


def check_classes(sweep: Path, names: Mapping[str, Sequence[str]]) -> None:
    """Refuses to continue a sweep whose runs were trained on other classes.

    Args:
        sweep: its folder, which need not exist.
        names: of the classes of the data set now, by variant.

    Raises:
        UsageError: the classes are others than those of a run.
    """
    for variant, now in names.items():
        for run in sorted((sweep / RUNS / directory_name(variant)).glob("seed*")):
            own = read_classes(run)
            wrong = None if own is None else difference(own, now)
            if wrong:
                raise UsageError(
                    f"the classes of the data set are not those that {run} was trained on ({wrong}); restore"
                    " them, or choose another --workdir"
                )


def write(
    sweep: Path,
    recipe: ConfigDict,
    grid: Sweep,
    seeds: Sequence[int],
    *,
    name: str,
    file: str,
    only: Sequence[str] | None = None,
) -> None:
    """Writes the index and the config of every run that has none yet; call `check_unchanged` before.

    Args:
        sweep: its folder.
        recipe: what all variants share.
        grid: the variants.
        seeds: those that are wanted now.
        name: of the sweep.
        file: where the grid comes from.
        only: the variants that are wanted now; None: all. What has ever been wanted is kept in the index, so
            that the report says "k of n" of that.

    Raises:
        UsageError: two variants would share a folder.
    """
    index = read(sweep)
    earlier = {} if index is None else index.variants
    every_seed = sorted({*(() if index is None else index.seeds), *seeds})
    chosen = set(grid.variants if only is None else only)
    variants = {
        variant: Variant(
            directory=directory_name(variant),
            overrides=dict(overrides),
            wanted=tuple(
                sorted(
                    {
                        *(earlier[variant].wanted if variant in earlier else ()),
                        *(seeds if variant in chosen else ()),
                    }
                )
            ),
        )
        for variant, overrides in grid.variants.items()
    }
    variants |= {known: entry for known, entry in earlier.items() if known not in variants}
    refuse_shared_folders(list(variants))
    SweepRecord(
        name=name,
        title=grid.title,
        note=grid.note,
        config=file,
        baseline=grid.baseline,
        seeds=tuple(every_seed),
        variants=variants,
        published=tuple(grid.published),
        how={
            "command": command_line(),
            "versions": versions(),
            "git": git_revision(),
            "written": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        },
    ).write(sweep)
    for variant in grid.variants:
        for seed in every_seed:
            path = job(sweep, variant, seed).config
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                Config(job_config(recipe, grid.variants[variant], seed).to_dict()).write(path)


def _first_job(sweep: Path, variant: str, seeds: Sequence[int]) -> Job | None:
    jobs = (job(sweep, variant, seed) for seed in seeds)
    return next((each for each in jobs if each.config.exists()), None)


def refuse_shared_folders(variants: Iterable[str]) -> None:
    """Names that differ in case only are one folder on some file systems.

    Raises:
        UsageError: two variants would share a folder.
    """
    owners: dict[str, str] = {}
    for variant in variants:
        other = owners.setdefault(directory_name(variant).casefold(), variant)
        if other != variant:
            raise UsageError(
                f"the variants {other!r} and {variant!r} would share a folder; rename one of them"
            )
