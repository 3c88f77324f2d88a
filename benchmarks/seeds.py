"""Several seeds of a small network on one device, three ways: which finishes all of them soonest?

    python -m benchmarks.seeds --seeds=5 --steps=200 --model=resnet20 --batch=128 --json=seeds.json

`vmap`: one program trains all seeds side by side; `sequence`: one after another in one process, compiled
once; `processes`: one process a seed, all at once. `wall_s` counts from the launch of the first process to
the end of the last one, imports and compilation included; `train_s` are the steps alone, of the slowest
process. All ways make the same steps: SGD with momentum on random pictures that lie on the device.
"""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from absl import flags

from benchmarks import output
from benchmarks.child import Child
from chanattn import cli

WAYS = ("vmap", "sequence", "processes")
_PASSED_ON = ("steps", "model", "mechanism", "batch", "image_size", "precision")
_EXAMPLES = 1024
_IN_FLIGHT = 8  # steps the host may run ahead of the device


def main() -> None:
    """Measures as the flags say."""
    values = flags.FLAGS
    if values.child:
        print(json.dumps(_child(values)))
        return
    rows = []
    for way in output.progress(WAYS, "seeds"):
        rows.append(_measure(way, values))
    output.report("seeds", rows, values.json)


def _measure(way: str, values: Any) -> dict[str, Any]:
    arguments = ["--child", *(f"--{name}={values[name].value}" for name in _PASSED_ON)]
    numbers = [str(number) for number in range(values.seeds)]
    shares = numbers if way == "processes" else [",".join(numbers)]
    groups = [(f"--way={way}", f"--numbers={share}") for share in shares]
    # Each process would reserve most of a GPU's memory for itself.
    variables = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"} if len(groups) > 1 else {}
    start = time.perf_counter()
    with ExitStack() as stack:
        children = [
            stack.enter_context(Child("benchmarks.seeds", [*arguments, *group], variables))
            for group in groups
        ]
        results = [child.result() for child in children]
    wall = time.perf_counter() - start
    train = max(result["train_s"] for result in results)
    return {
        "way": way,
        "model": values.model,
        "mechanism": values.mechanism,
        "batch": values.batch,
        "precision": values.precision,
        "seeds": values.seeds,
        "steps": values.steps,
        "wall_s": wall,
        "train_s": train,
        "steps_per_s": values.seeds * values.steps / train,
        "loss": [loss for result in results for loss in result["loss"]],
    }


def _child(values: Any) -> dict[str, Any]:
    from benchmarks.bare import one_device

    one_device()  # with the allocator and the kernels of the training loop
    numbers = [int(number) for number in values.numbers.split(",")]
    init, step = training(
        values.model, values.mechanism, values.batch, values.image_size, values.precision
    )
    train = together if values.way == "vmap" else one_by_one
    losses, seconds = train(init, step, numbers, values.steps)
    return {"loss": losses, "train_s": seconds}


def training(
    model: str, mechanism: str, batch: int, image_size: int, precision: str
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """`init(seed) -> state` and `step(state, seed, number) -> (state, loss)`, not jitted.

    Args:
        model: an architecture.
        mechanism: its attention.
        batch: images a step.
        image_size: side in pixels.
        precision: of the activations.
    """
    import jax
    import jax.numpy as jnp
    import optax

    from chanattn import models

    network = models.create(
        model, num_classes=10, attention={"name": mechanism}, dtype=jnp.dtype(precision)
    )
    optimizer = optax.sgd(0.1, momentum=0.9)
    images = jax.random.normal(jax.random.key(0), (_EXAMPLES, image_size, image_size, 3))
    labels = jax.random.randint(jax.random.key(1), (_EXAMPLES,), 0, 10)

    def init(seed: jax.Array) -> Any:
        weights = network.init(jax.random.key(seed), images[:1])
        return weights["params"], weights["batch_stats"], optimizer.init(weights["params"])

    def step(state: Any, seed: jax.Array, number: jax.Array) -> Any:
        params, statistics, momenta = state
        key = jax.random.fold_in(jax.random.key(seed), number)
        chosen = jax.random.randint(key, (batch,), 0, _EXAMPLES)

        def loss(params: Any) -> Any:
            (logits, _), new = network.apply(
                {"params": params, "batch_stats": statistics},
                images[chosen],
                train=True,
                mutable=["batch_stats"],
            )
            each = optax.softmax_cross_entropy_with_integer_labels(
                logits.astype(jnp.float32), labels[chosen]
            )
            return each.mean(), new["batch_stats"]

        (value, statistics), gradients = jax.value_and_grad(loss, has_aux=True)(params)
        updates, momenta = optimizer.update(gradients, momenta)
        return (optax.apply_updates(params, updates), statistics, momenta), value

    return init, step


def together(
    init: Callable[..., Any], step: Callable[..., Any], numbers: Sequence[int], steps: int
) -> tuple[list[float], float]:
    """All seeds in one program.

    Returns:
        The last loss of each seed, and the seconds that the steps took.
    """
    import jax
    import jax.numpy as jnp

    seeds = jnp.asarray(numbers)
    loss, seconds = _run(jax.vmap(init), jax.vmap(step, in_axes=(0, 0, None)), [seeds], steps)
    return loss[0].tolist(), seconds


def one_by_one(
    init: Callable[..., Any], step: Callable[..., Any], numbers: Sequence[int], steps: int
) -> tuple[list[float], float]:
    """One seed after another, with one program; returns as `together`."""
    import jax.numpy as jnp

    losses, seconds = _run(init, step, [jnp.asarray(number) for number in numbers], steps)
    return [float(loss) for loss in losses], seconds


def _run(
    init: Callable[..., Any], step: Callable[..., Any], seeds: Sequence[Any], steps: int
) -> tuple[list[Any], float]:
    import jax
    import numpy as np

    # As in training: XLA:CPU would spend most of the time on optimising what runs once.
    on_cpu = jax.default_backend() == "cpu"
    options = {"xla_backend_optimization_level": 0} if on_cpu else {}
    begin = jax.jit(init, compiler_options=options)
    state = begin(seeds[0])
    compiled = jax.jit(step, donate_argnums=0).lower(state, seeds[0], np.int32(0)).compile()
    losses, seconds = [], 0.0
    for seed in seeds:
        state = jax.block_until_ready(begin(seed))
        start = time.perf_counter()
        running = []
        for number in range(steps):
            state, loss = compiled(state, seed, np.int32(number))
            running.append(loss)
            if number >= _IN_FLIGHT:
                running[number - _IN_FLIGHT].block_until_ready()
        jax.block_until_ready(state)
        seconds += time.perf_counter() - start
        losses.append(running[-1])
    return losses, seconds


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags of this program."""
    v: Any = {"flag_values": values}
    integer = partial(flags.DEFINE_integer, lower_bound=1, **v)
    integer("seeds", 5, "how many")
    integer("steps", 200, "of each seed")
    flags.DEFINE_string("model", "resnet20", "an architecture", **v)
    flags.DEFINE_string("mechanism", "se", "its attention", **v)
    integer("batch", 128, "images a step")
    integer("image_size", 32, "side in pixels")
    flags.DEFINE_enum("precision", "float32", ["float32", "bfloat16"], "of the activations", **v)
    flags.DEFINE_bool("child", False, "train --numbers in this process --way, and print JSON", **v)
    flags.DEFINE_enum("way", "vmap", WAYS, "of --child", **v)
    flags.DEFINE_string("numbers", "0", "seeds of --child", **v)
    cli.define_path("json", None, "file to write", **v)


if __name__ == "__main__":
    define_flags()
    cli.run(main)
