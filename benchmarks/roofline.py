"""The machine's own limits, and how near to them the gates come.

    python -m benchmarks.roofline --precision=bfloat16 --json=roofline.json

`copy`: bandwidth of reading a large array and writing it back. `product`: rate of a square matrix product,
in each type and, for float32 on a GPU, also at full precision. A gate's floor is the time that its
unavoidable traffic takes at that bandwidth: forward reads x and writes y; backward reads x and the gradient
of y and writes the gradient of x. `share` is floor / measured: a feature map in a cache can exceed 1.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from absl import flags

from benchmarks import output
from benchmarks.rows import MECHANISMS
from chanattn import attention, cli
from chanattn.errors import UsageError

SHAPES = ("32,56,56,256", "32,14,14,1024", "128,32,32,16")
_PASSES = {"forward": 2, "forward+backward": 5}  # over an array of the size of x, at least
_KEYS = ("what", "shape", "precision", "ms", "gb_per_s", "tflop_per_s", "share")


def main() -> None:
    """Measures as the flags say."""
    from benchmarks.bare import one_device

    values = flags.FLAGS
    shapes = [_shape(text) for text in values.shapes.split(";") if text]
    names = [name for name in values.mechanisms.split(",") if name]
    for name in names:
        if attention.describe(name).slot != "gate":
            raise UsageError(f"{name!r} is no gate: its floor is not read once, write once")
    one_device()  # with the allocator and the kernels of the training loop
    rows = limits(values.copy_mb, values.product, values.rounds)
    bandwidth = next(row["gb_per_s"] for row in rows if row["what"] == "copy") * 1e9
    for shape in output.progress(shapes, "gates"):
        for name in names:
            rows += gate(name, shape, values.precision, bandwidth, values.rounds)
    output.report("roofline", rows, values.json)


def limits(megabytes: int, side: int, rounds: int) -> list[dict[str, Any]]:
    """Copy bandwidth and matrix rates of the first device.

    Args:
        megabytes: size of the array that is copied; several times the largest cache.
        side: of the square matrices.
        rounds: how often the measurements take turns.
    """
    import jax
    import jax.numpy as jnp

    from benchmarks.clock import medians

    x = jnp.ones(megabytes * 1_000_000 // 4, jnp.float32)
    # In place, because writing memory that is fresh from the system costs more than the traffic itself.
    add = jax.jit(lambda x: x + 1, donate_argnums=0)
    size, shape = x.nbytes, x.shape
    held = [x]
    del x

    def copy() -> jax.Array:
        held[0] = add(held[0])
        return held[0]

    calls: dict[str, Callable[[], Any]] = {"copy": copy}
    kinds: dict[str, tuple[Any, str | None]]
    kinds = {"bfloat16": (jnp.bfloat16, None), "float32": (jnp.float32, None)}
    if jax.default_backend() == "gpu":
        kinds["float32, highest"] = (jnp.float32, "highest")  # the default may use TF32
    for name, (dtype, precision) in kinds.items():
        matrix = jnp.ones((side, side), dtype)
        product = jax.jit(partial(jnp.matmul, precision=precision))
        calls[name] = partial(product, matrix, matrix)
    seconds = medians(calls, rounds)
    copied = _row("copy", str(shape), "float32", seconds["copy"])
    copied["gb_per_s"] = 2 * size / seconds["copy"] / 1e9
    rows = [copied]
    for name in kinds:
        row = _row("product", f"({side}, {side})", name, seconds[name])
        rows.append(row | {"tflop_per_s": 2 * side**3 / seconds[name] / 1e12})
    return rows


def gate(
    name: str, shape: tuple[int, ...], precision: str, bandwidth: float, rounds: int
) -> list[dict[str, Any]]:
    """A gate alone, forward and forward+backward.

    Args:
        name: mechanism of the slot `gate`.
        shape: (N, H, W, C).
        precision: type of x, which gates compute in.
        bandwidth: bytes/s.
        rounds: how often the two take turns.
    """
    import jax
    import jax.numpy as jnp

    from benchmarks.clock import medians

    module = _create(name)
    x = jax.random.normal(jax.random.key(0), shape, jnp.dtype(precision))
    variables = jax.jit(module.init)(jax.random.key(1), x)
    apply = jax.jit(module.apply)

    @jax.jit
    def both(variables: Any, x: jax.Array, dy: jax.Array) -> Any:
        y, pull = jax.vjp(module.apply, variables, x)
        return y, pull(dy)

    calls = {
        "forward": lambda: apply(variables, x),
        "forward+backward": lambda: both(variables, x, x),
    }
    rows = []
    for mode, seconds in medians(calls, rounds).items():
        floor = _PASSES[mode] * x.nbytes / bandwidth
        row = _row(f"{name} {mode}", str(shape), precision, seconds)
        rows.append(row | {"share": floor / seconds})
    return rows


def _create(name: str) -> Any:
    """The gate with the options that benchmarks.throughput gives it."""
    options = dict(MECHANISMS.get(name, {}))
    options.pop("name", None)
    return attention.create(name, **options)


def _row(what: str, shape: str, precision: str, seconds: float) -> dict[str, Any]:
    values = {"what": what, "shape": shape, "precision": precision, "ms": seconds * 1e3}
    return dict.fromkeys(_KEYS) | values


def _shape(text: str) -> tuple[int, ...]:
    numbers = text.split(",")
    if len(numbers) != 4 or not all(number.strip().isdigit() for number in numbers):
        raise UsageError(f"--shapes: {text!r} is not N,H,W,C")
    return tuple(map(int, numbers))


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags of this program."""
    v: Any = {"flag_values": values}
    flags.DEFINE_string("mechanisms", "se,eca,cbam,gc", "gates, separated by commas", **v)
    flags.DEFINE_string("shapes", ";".join(SHAPES), "N,H,W,C; separated by semicolons", **v)
    flags.DEFINE_enum("precision", "float32", ["float32", "bfloat16"], "of the gates", **v)
    flags.DEFINE_integer("copy_mb", 512, "size of the array that is copied", lower_bound=1, **v)
    flags.DEFINE_integer("product", 4096, "side of the square matrices", lower_bound=1, **v)
    flags.DEFINE_integer("rounds", 7, "how often the measurements take turns", lower_bound=1, **v)
    cli.define_path("json", None, "file to write", **v)


if __name__ == "__main__":
    define_flags()
    cli.run(main)
