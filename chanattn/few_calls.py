"""Programs that are called once or once an epoch: compiled in less time than the rest."""

import functools
from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import NamedSharding

#: Options of XLA (https://openxla.org/xla/flags_guidance). They change how long the compilation takes, how
#: fast the program is, and the last bits of some results: initial values on a CPU depend on them. XLA:CPU
#: spends four times as long on optimising many small operations as on everything else, and then a third less
#: with the older of its two emitters, which JAX 0.12 has no more.
_CPU_OPTIONS: dict[str, str | bool] = {
    "xla_backend_optimization_level": "0",
    "xla_cpu_use_fusion_emitters": False,
}


def jit_for_few_calls(
    function: Callable[..., Any], out_shardings: NamedSharding, **keywords: Any
) -> Any:
    """`jax.jit`, with less optimisation where that takes longer than it saves.

    Args:
        function: to be compiled.
        out_shardings: of all results; its devices decide.
        **keywords: more arguments of `jax.jit`.
    """
    on_cpu = out_shardings.mesh.devices.flat[0].platform == "cpu"
    options = _known_cpu_options() if on_cpu else {}
    return jax.jit(function, out_shardings=out_shardings, compiler_options=options, **keywords)


@functools.cache
def _known_cpu_options() -> dict[str, str | bool]:
    if _are_known(_CPU_OPTIONS):
        return _CPU_OPTIONS
    return {name: value for name, value in _CPU_OPTIONS.items() if is_known(name, value)}


@functools.cache
def is_known(option: str, value: str | bool) -> bool:
    """Whether this version of XLA has an option of that name, which takes such a value."""
    return _are_known({option: value})


def _are_known(options: dict[str, str | bool]) -> bool:
    try:
        jax.jit(lambda: 0).lower().compile(compiler_options=options)
    except jax.errors.JaxRuntimeError as error:
        if "No such compile option" in str(error):
            return False
        raise
    return True
