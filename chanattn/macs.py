"""Multiply-accumulates of any JAX function, counted from its jaxpr.

A convolution counts one for every tap of every output value (taps on the padding included, those on zeros
between the pixels of a gradient or a transposed convolution not), a matrix product one for every product,
whatever the compiler makes of them. Element-wise products (the gates, squares,
divisions) are counted apart: convolutions and products alone are what published "FLOPs" count. timm's GMACs
add two for every output of a batch norm: up to 1 % of a ResNet, 4 % of a network of depthwise convolutions.

It knows nothing of networks, and so may be used by all parts; `chanattn.analysis.modules` divides the
counts of a network over its modules.
"""

import math
from collections.abc import Callable, Iterable
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


Scope = tuple[str, ...]
ByScope = dict[Scope, Macs]


def count(function: Callable[..., Any], *args: Any) -> Macs:
    """Multiply-accumulates of `function(*args)`; arguments may be shapes (`jax.ShapeDtypeStruct`).

    Loops count as often as they run (`scan`); of a conditional the dearest branch counts. Loops of unknown
    length (`while_loop`) count once.
    """
    return total(count_by_scope(function, *args))


def count_by_scope(function: Callable[..., Any], *args: Any) -> ByScope:
    """As `count`, divided over the `jax.named_scope`s that the operations stand in.

    Returns:
        Counts of the operations directly in a scope, by the names of it and those around it, the
        outermost first. Flax opens a scope for every module, and one more for a method with a name.
    """
    return _of_jaxpr(jax.make_jaxpr(function)(*args).jaxpr, ())


def total(counts: ByScope) -> Macs:
    """All scopes together."""
    return sum(counts.values(), Macs())


def _of_jaxpr(jaxpr: core.Jaxpr, outside: Scope) -> ByScope:
    # A program that an equation calls knows the scopes within it, not those around the equation.
    return _together(
        _of_equation(equation, (*outside, *_scope(equation))) for equation in jaxpr.eqns
    )


def _of_equation(equation: core.JaxprEqn, scope: Scope) -> ByScope:
    name = equation.primitive.name
    inner = [_of_jaxpr(jaxpr, scope) for jaxpr in core.jaxprs_in_params(equation.params)]
    if name == "cond":
        return max(inner, key=lambda counts: total(counts).products)
    times = equation.params["length"] if name == "scan" else 1
    own = of_primitive(equation)
    counts = {where: macs * times for where, macs in _together(inner).items()}
    return counts if own == Macs() else _together((counts, {scope: own}))


def of_primitive(equation: core.JaxprEqn) -> Macs:
    """Counts of an equation of a jaxpr, without the programs that it calls."""
    name, params = equation.primitive.name, equation.params
    shapes = [_shape(variable) for variable in equation.invars]
    output = math.prod(_shape(equation.outvars[0])) if equation.outvars else 0
    if name == "conv_general_dilated":
        features = shapes[1][params["dimension_numbers"].rhs_spec[0]]
        taps = math.prod(shapes[1]) // features
        return Macs(conv=output * taps // math.prod(params["lhs_dilation"]))
    if name == "dot_general":
        contracted = params["dimension_numbers"][0][0]
        return Macs(dot=output * math.prod(shapes[0][axis] for axis in contracted))
    if name in _ELEMENTWISE:
        return Macs(elementwise=output)
    return Macs()


def _together(several: Iterable[ByScope]) -> ByScope:
    counts: ByScope = {}
    for one in several:
        for scope, macs in one.items():
            counts[scope] = counts.get(scope, Macs()) + macs
    return counts


def _scope(equation: core.JaxprEqn) -> Scope:
    # A `jax.extend.source_info_util.SourceInfo`. That its `name_stack` reads "outer/inner" JAX does not
    # promise: where it no longer does, the test of the scopes fails, and `count` still counts right.
    return tuple(name for name in str(equation.source_info.name_stack).split("/") if name)


def _shape(variable: Any) -> tuple[int, ...]:
    return getattr(variable.aval, "shape", ())
