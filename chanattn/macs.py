"""Multiply-accumulates of any JAX function, counted from its jaxpr.

A convolution counts one for every tap of every output value (taps on the padding included), a matrix product
one for every product, whatever the compiler makes of them. Element-wise products (the gates, squares,
divisions) are counted apart: convolutions and products alone are what published "FLOPs" and timm's GMACs
count.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
from jax.extend import core

_ELEMENTWISE = ("mul", "div", "square", "integer_pow")


@dataclass(frozen=True)
class Macs:
    """Counts of one call.

    Attributes:
        conv: Multiply-accumulates of convolutions.
        dot: Of matrix products.
        elementwise: Element-wise multiplications and divisions.
    """

    conv: int = 0
    dot: int = 0
    elementwise: int = 0

    @property
    def total(self) -> int:
        """Convolutions and matrix products: what is published as MACs."""
        return self.conv + self.dot

    @property
    def products(self) -> int:
        """Every multiplication."""
        return self.total + self.elementwise

    def __add__(self, other: "Macs") -> "Macs":
        """Both together."""
        return Macs(
            self.conv + other.conv, self.dot + other.dot, self.elementwise + other.elementwise
        )

    def __mul__(self, times: int) -> "Macs":
        """The same several times."""
        return Macs(self.conv * times, self.dot * times, self.elementwise * times)


def count(function: Callable[..., Any], *args: Any) -> Macs:
    """Multiply-accumulates of `function(*args)`; arguments may be shapes (`jax.ShapeDtypeStruct`).

    Loops count as often as they run (`scan`); of a conditional the dearest branch counts. Loops of unknown
    length (`while_loop`) count once.
    """
    return _of_jaxpr(jax.make_jaxpr(function)(*args).jaxpr)


def _of_jaxpr(jaxpr: core.Jaxpr) -> Macs:
    return sum((_of_equation(equation) for equation in jaxpr.eqns), Macs())


def _of_equation(equation: core.JaxprEqn) -> Macs:
    name, params = equation.primitive.name, equation.params
    shapes = [_shape(variable) for variable in equation.invars]
    output = math.prod(_shape(equation.outvars[0])) if equation.outvars else 0
    if name == "conv_general_dilated":
        features = shapes[1][params["dimension_numbers"].rhs_spec[0]]
        return Macs(conv=output * math.prod(shapes[1]) // features)
    if name == "dot_general":
        contracted = params["dimension_numbers"][0][0]
        return Macs(dot=output * math.prod(shapes[0][axis] for axis in contracted))
    if name in _ELEMENTWISE:
        return Macs(elementwise=output)
    inner = [_of_jaxpr(jaxpr) for jaxpr in _inner(params)]
    if name == "cond":
        return max(inner, key=lambda macs: macs.products)
    return sum(inner, Macs()) * (params["length"] if name == "scan" else 1)


def _shape(variable: Any) -> tuple[int, ...]:
    return getattr(variable.aval, "shape", ())


def _inner(params: dict[str, Any]) -> Iterator[core.Jaxpr]:
    """The programs that an equation calls."""
    for value in params.values():
        for item in value if isinstance(value, list | tuple) else (value,):
            if isinstance(item, core.ClosedJaxpr):
                yield item.jaxpr
            elif isinstance(item, core.Jaxpr):
                yield item
