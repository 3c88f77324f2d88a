"""Programs that are called once or once an epoch: compiled in less time than the rest."""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import NamedSharding

#: Flags of XLA, which names them as it likes (https://openxla.org/xla/flags_guidance); an unknown one is an
#: error of the first compilation, and `tests/test_few_calls.py` fails. All that they change is how long the
#: compilation takes and how fast the program is. XLA:CPU spends four times as long on optimising many small
#: operations as on everything else, and then a third less with the older of its two emitters.
CPU_OPTIONS = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}


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
    options = CPU_OPTIONS if on_cpu else {}
    return jax.jit(function, out_shardings=out_shardings, compiler_options=options, **keywords)
