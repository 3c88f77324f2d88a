"""What the runs of a sweep did not share beside the config: hardware, versions, flags."""

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from chanattn.errors import some
from chanattn.report.read import Sweep
from chanattn.report.recipe import MACHINE
from chanattn.runs.environment import Environment
from chanattn.runs.run import DONE, Run

COMPARED = ("platform", "devices", "processes", "kernels", "packages", "git", "variables")
HARMLESS = ("CUDA_VISIBLE", "GLIBC_", "TFDS_", "JAX_COMPILATION_CACHE", "JAX_PERSISTENT_CACHE")
"""Variables that say where something lies, or which card, not how it is computed."""


def environment(sweep: Sweep) -> Environment | None:
    """That of the first finished run; None without one."""
    told = (run.environment for run in sweep.runs if run.state == DONE)
    return next((each for each in told if each is not None), None)


def notes(sweep: Sweep) -> list[str]:
    """A line for each thing that may change numbers and in which finished runs differ."""
    done = [run for run in sweep.runs if run.state == DONE]
    told = {run.name: _told(run) for run in done}
    lines = []
    for what in dict.fromkeys(key for values in told.values() for key in values):
        groups = _by_value({name: values.get(what, "none") for name, values in told.items()})
        if len(groups) > 1:
            most = max(groups.values(), key=len)
            parts = [
                f"{value} ({len(names)} runs)" if names is most else f"{value} ({some(names)})"
                for value, names in groups.items()
            ]
            lines.append(f"the runs differ in {what}: {', '.join(parts)}")
    silent = [run.name for run in done if run.environment is None]
    if silent:
        lines.append(f"no environment.json of {some(silent)}: hardware and versions are unknown")
    dirty = [run for run in done if run.environment and str(run.environment.git).endswith("-dirty")]
    if dirty:
        lines.append(
            f"{len(dirty)} of {len(done)} runs were made from a source tree with changes that no commit holds"
        )
    return lines


def _told(run: Run) -> dict[str, str]:
    """What a run says about its machine, each as a text."""
    recorded = run.fields()  # of a run that may be older than a field
    found: dict[str, Any] = {f"config.{path}": recorded.get(path) for path in MACHINE}
    for name in COMPARED:
        value = getattr(run.environment, name, None)
        if isinstance(value, Mapping):
            found |= {
                f"{name}.{key}": part
                for key, part in value.items()
                if not str(key).startswith(HARMLESS)
            }
        elif run.environment is not None:
            found[name] = value
    return {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in found.items()
    }


def _by_value(groups: Mapping[str, str]) -> dict[str, list[str]]:
    """{value: [keys that have it]}, in order."""
    turned = defaultdict(list)
    for key, value in groups.items():
        turned[value].append(key)
    return dict(turned)
