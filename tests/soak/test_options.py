"""No option is silently without effect beside another: it changes the program, or is refused in words."""

import re
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from chanattn import attention
from chanattn.errors import UsageError

CHANNELS = 64
# Whether these count depends on the width that they give together; see tests/attention/test_widths.py.
OF_THE_WIDTH = {"reduction", "width", "rounding", "divisor", "min_width", "reduce_from"}
NUMBERS = {
    bool: (True, False),
    int: (1, 2, 3, 4, 8),
    float: (0.37, 0.5, 2.0),
    tuple: ((3, 5), (1, 3), (2, 2), (1,), (3, 3)),
}


@cache
def program(name: str, *given: tuple[str, Any]) -> str | None:
    """What is computed in training and in evaluation, as text; None: the options are refused."""
    context = {"filters": CHANNELS} if attention.describe(name).slot == "conv" else {}
    x = jax.ShapeDtypeStruct((2, 7, 7, CHANNELS), jnp.float32)

    def run(key: jax.Array, x: jax.Array) -> Any:
        variables = module.init(key, x)
        rngs = {"dropout": key}
        trained = module.apply(variables, x, train=True, rngs=rngs, mutable=True)
        return variables, trained, module.apply(variables, x, mutable=["presence"])

    try:
        module = attention.create(name, parent=None, **context, **dict(given))
        text = str(jax.make_jaxpr(run)(jax.random.key(0), x))
    except UsageError:
        return None
    return re.sub("0x[0-9a-f]+", "", text)


def values(name: str, option: str) -> list[Any]:
    """Values of an option that are accepted by themselves; those of a text are named where one is refused."""
    kind = attention.describe(name).options[option].kind
    if kind is not str:
        candidates = NUMBERS[kind]
    else:
        context = {"filters": CHANNELS} if attention.describe(name).slot == "conv" else {}
        with pytest.raises(UsageError) as refusal:
            attention.create(name, parent=None, **context, **{option: "no such value"})
        listed = str(refusal.value).partition("valid: ")[2].partition(". ")[0]
        candidates = tuple(re.split(r",\s*|; ", listed.rstrip(".")))
    return [value for value in candidates if program(name, (option, value)) is not None]


@pytest.mark.soak
@pytest.mark.parametrize("name", attention.names())
def test_every_option_counts_or_is_refused_beside_every_other(name: str) -> None:
    options = attention.describe(name).options
    known = {option: values(name, option) for option in options if option not in OF_THE_WIDTH}
    plain = program(name)
    counts = {
        option: [value for value in tried if program(name, (option, value)) != plain]
        for option, tried in known.items()
    }
    for mode, chosen in counts.items():
        for value in chosen:
            # A preset stands for the others, which may all be given.
            for option in counts.keys() - {mode, "preset"}:
                beside = [program(name, (mode, value), (option, v)) for v in known[option]]
                assert (
                    not counts[option]
                    or None in beside
                    or set(beside) != {program(name, (mode, value))}
                ), f"{mode}={value!r} hides {option}"
