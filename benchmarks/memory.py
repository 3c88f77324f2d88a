"""Peak memory of a training step, each row in a fresh process.

    python -m benchmarks.memory --rows=resnet20,resnet20_se --batch_size=128 --json=memory.json

CPU: the largest resident set while steps run (`peak_mb`), and the resident set just before them (`base_mb`:
Python, JAX, the compiled programs, parameters and batch); what the compiler has left behind is given back to
the system first. GPU: the peak of the device's own statistics. `argument_mb`, `temp_mb`, `output_mb` and
`alias_mb` are what XLA plans for the compiled step; their sum, less what is aliased, is `planned_mb`.
"""

import ctypes
import gc
import json
from pathlib import Path
from typing import Any

from absl import flags

from benchmarks import output, rows
from benchmarks.child import Child
from chanattn import cli
from chanattn.errors import UsageError

_PLAN = ("argument", "temp", "output", "alias")
_PASSED_ON = ("batch_size", "precision")
_STEPS = 3
_RESET_PEAK = "5"  # see proc_pid_clear_refs(5)


def main() -> None:
    """Measures as the flags say."""
    values = flags.FLAGS
    chosen = rows.choose(values.rows)
    modules = [name for name in chosen if "@" in name]
    if modules:
        raise UsageError(f"--rows: a step is trained by networks, not by the module {modules[0]!r}")
    if values.child:
        print(json.dumps(measure(chosen[0], values.batch_size, values.precision)))
        return
    results = []
    arguments = ["--child", *(f"--{name}={values[name].value}" for name in _PASSED_ON)]
    for name in output.progress(chosen, "memory"):
        with Child("benchmarks.memory", [*arguments, f"--rows={name}"]) as child:
            results.append(child.result())
    output.report("memory", results, values.json)


def measure(name: str, batch_size: int, precision: str) -> dict[str, Any]:
    """A few training steps in this process, which should have done nothing before.

    Args:
        name: of a row that is a network.
        batch_size: images a step; 0: the row's own.
        precision: of the activations.

    Returns:
        The row; MB are 10**6 bytes, per device where XLA or the device says them.
    """
    import jax

    from benchmarks.bare import bare_step, first_batch, run
    from chanattn.training.experiment import Experiment
    from configs import base

    on_accelerator = jax.default_backend() != "cpu"
    (row,) = rows.make(
        [name], batch_size=batch_size, on_accelerator=on_accelerator, precision=precision
    )
    config = base.get_config()
    config.update_from_flattened_dict(
        {
            "steps": 1000,
            "batch_size": row.batch,
            "precision": precision,
            "dataset.name": "synthetic",
            "dataset.loader": "device",
            "dataset.image_size": row.shape[1],
            "dataset.synthetic_examples": row.batch,
            "dataset.synthetic_classes": row.num_classes,
            "model.name": row.architecture,
            **{f"model.attention.{option}": value for option, value in row.options.items()},
        }
    )
    experiment = Experiment.build(config)
    state, images = experiment.create_state(), first_batch(experiment)
    compiled = bare_step(experiment).lower(state, images).compile()
    base_mb = _reset_resident_peak()
    run(compiled, state, images, _STEPS)
    device = experiment.mesh.devices.flat[0]
    statistics = device.memory_stats() if on_accelerator else None
    peak_mb = statistics["peak_bytes_in_use"] / 1e6 if statistics else _resident_mb(peak=True)
    return {
        "row": name,
        "batch": row.batch,
        "image_size": row.shape[1],
        "precision": precision,
        "devices": experiment.mesh.size,
        "of": "device memory" if statistics else "resident set",
        "peak_mb": peak_mb,
        "base_mb": 0.0 if statistics else base_mb,
        **_plan(compiled.memory_analysis()),
    }


def _plan(analysis: Any) -> dict[str, float]:
    sizes = {name: getattr(analysis, f"{name}_size_in_bytes") / 1e6 for name in _PLAN}
    planned = sizes["argument"] + sizes["temp"] + sizes["output"] - sizes["alias"]
    return {f"{name}_mb": size for name, size in sizes.items()} | {"planned_mb": planned}


def _resident_mb(*, peak: bool = False) -> float:
    """Resident set of this process, now or at its peak.

    Not from getrusage: there a new process begins with the peak of the one that has started it.
    """
    name = "VmHWM:" if peak else "VmRSS:"
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    (kilobytes,) = [line.split()[1] for line in lines if line.startswith(name)]
    return int(kilobytes) * 1024 / 1e6


def _reset_resident_peak() -> float:
    """Begins a new peak at the present resident set, which it returns."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text(_RESET_PEAK, encoding="utf-8")
    return _resident_mb()


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags of this program."""
    v: Any = {"flag_values": values}
    flags.DEFINE_string("rows", "resnet20*", "networks, as of benchmarks.throughput", **v)
    flags.DEFINE_integer("batch_size", 0, "images a step; 0: each row's own", lower_bound=0, **v)
    flags.DEFINE_enum("precision", "float32", ["float32", "bfloat16"], "of the activations", **v)
    flags.DEFINE_bool("child", False, "measure one row in this process, and print JSON", **v)
    cli.define_path("json", None, "file to write", **v)


if __name__ == "__main__":
    define_flags()
    cli.run(main)
