"""Steps/s of a network so small that launching its kernels takes longer than running them.

    python -m benchmarks.dispatch --batches=128,1024 --steps_per_dispatch=1,8,32 --json=dispatch.json

Several steps in one dispatch are one program with a loop inside (`lax.scan`). For GPUs: on a CPU, XLA runs
convolutions inside a loop on one core. Run it under `XLA_FLAGS=--xla_gpu_enable_command_buffer=` too, which
switches command buffers (CUDA graphs) off; the file says which flags it was made with.
"""

import statistics
import time
from typing import Any

from absl import flags

from benchmarks import output, recipes
from chanattn import cli
from chanattn.errors import UsageError


def main() -> None:
    """Measures as the flags say."""
    values = flags.FLAGS
    groups = _numbers("steps_per_dispatch", values.steps_per_dispatch)
    rows = []
    for batch in output.progress(_numbers("batches", values.batches), "dispatch"):
        rows += measure(batch, groups, values.steps, values.rounds, values.precision)
    output.report("dispatch", rows, values.json)


def measure(
    batch: int, groups: list[int], steps: int, rounds: int, precision: str, **changes: Any
) -> list[dict[str, Any]]:
    """The training step of ResNet-20 on one batch; the numbers of steps a dispatch take turns.

    Args:
        batch: images a step.
        groups: numbers of steps a dispatch.
        steps: timed in every round, at least.
        rounds: how often they take turns.
        precision: of the activations.
        **changes: of the recipe's config, by dotted path.
    """
    import jax

    from benchmarks.bare import bare_step, first_batch, run
    from chanattn.training.experiment import Experiment

    config = recipes.load("resnet20", batch_size=batch, precision=precision, **changes)
    experiment = Experiment.build(config)
    step, images = bare_step(experiment), first_batch(experiment)
    state = experiment.create_state()
    programs = {}
    for group in groups:

        def several(state: Any, batch: Any, group: int = group) -> Any:
            return jax.lax.scan(lambda state, _: step(state, batch), state, length=group)

        program = step if group == 1 else jax.jit(several, donate_argnums=0)
        programs[group] = program.lower(state, images).compile()
        state = run(programs[group], state, images, 2)
    speeds: dict[int, list[float]] = {group: [] for group in groups}
    for _ in range(rounds):
        for group in groups:
            dispatches = -(-steps // group)
            start = time.perf_counter()
            state = run(programs[group], state, images, dispatches)
            speeds[group].append(dispatches * group / (time.perf_counter() - start))
    return [
        {
            "row": "resnet20",
            "batch": batch,
            "precision": precision,
            "steps_per_dispatch": group,
            "rounds": rounds,
            "steps_per_s": statistics.median(values),
            "images_per_s": batch * statistics.median(values),
            "spread": [min(values), max(values)],
        }
        for group, values in speeds.items()
    ]


def _numbers(flag: str, text: str) -> list[int]:
    numbers = [number for number in text.split(",") if number]
    if not all(number.isdigit() and int(number) for number in numbers):
        raise UsageError(f"--{flag}={text}: whole numbers from 1, separated by commas")
    return [int(number) for number in numbers]


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags of this program."""
    v: Any = {"flag_values": values}
    flags.DEFINE_string("batches", "128,1024", "images a step", **v)
    flags.DEFINE_string("steps_per_dispatch", "1,8,32", "steps in one program", **v)
    flags.DEFINE_integer("steps", 256, "timed in each round, at least", lower_bound=1, **v)
    flags.DEFINE_integer("rounds", 5, "how often the programs take turns", lower_bound=1, **v)
    flags.DEFINE_enum("precision", "float32", ["float32", "bfloat16"], "of the activations", **v)
    cli.define_path("json", None, "file to write", **v)


if __name__ == "__main__":
    define_flags()
    cli.run(main)
