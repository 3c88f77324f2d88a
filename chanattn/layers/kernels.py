"""Which code computes convolutions and batch norms on the CPU.

    plain   `lax.conv_general_dilated` as it is: what a process gets that has chosen nothing
    onednn  oneDNN's kernels: several times faster than XLA's own
    xla     XLA's convolution, with the gradient of the kernel in a form that it computes faster
    auto    the fastest that applies

The faster ones are opted into, with `choose` or `chosen`. Training, evaluation, prediction and the
measurement of costs do so by the field `kernels` of their config, which is `auto` unless a recipe says
otherwise. They have gradients (`grad`, `vjp`) and nothing more: no `jvp`, no second derivative; and oneDNN
is a shared library with threads of its own. None of this may happen to a program that merely calls a layer.

Platforms other than the CPU always use the plain convolution: on them it is the fast one. The choice is read
when a program is traced; one that has been compiled keeps its own.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax import lax
from jax.sharding import Mesh

from chanattn import onednn
from chanattn.errors import UsageError
from chanattn.onednn import ffi

NAMES = ("auto", "onednn", "xla", "plain")
UNCHOSEN = "plain"
"""What a process computes with that has chosen nothing: it has every derivative, and loads nothing."""

_choice = UNCHOSEN
_platform: str | None = None  # of what is being traced, if that is known


def choose(name: str) -> None:
    """Sets the choice of this process.

    Raises:
        UsageError: `name` is none of `NAMES`, or the library that it needs is absent.
    """
    global _choice  # noqa: PLW0603
    if name not in NAMES:
        raise UsageError(f"unknown kernels {name!r}; valid: {', '.join(NAMES)}")
    if name == "onednn":
        _refuse(onednn.reason_absent())
    _choice = name


def choice() -> str:
    """What `choose` has been told; `UNCHOSEN` in a process that has told it nothing."""
    return _choice


@contextlib.contextmanager
def chosen(name: str) -> Iterator[None]:
    """Sets the choice for a while, see `choose`."""
    before = _choice
    choose(name)
    try:
        yield
    finally:
        choose(before)


@contextlib.contextmanager
def running_on(mesh: Mesh) -> Iterator[None]:
    """For tracing programs that run on these devices alone; also a decorator of a function to be traced.

    They hold one of the two forms of a convolution or norm. Others hold both, which nearly doubles the time
    to trace and to lower a training step, and may be lowered for any platform.
    """
    global _platform  # noqa: PLW0603
    before = _platform
    _platform = mesh.devices.flat[0].platform
    try:
        yield
    finally:
        _platform = before


def by_platform(*operands: Any, cpu: Callable[..., Any], default: Callable[..., Any]) -> Any:
    """`lax.platform_dependent`, decided at once where the platform is known, see `running_on`."""
    if _platform is None:
        return lax.platform_dependent(*operands, cpu=cpu, default=default)
    return cpu(*operands) if _platform == "cpu" else default(*operands)


def current() -> str:
    """What a program traced now gets: onednn, xla or plain.

    `auto` takes oneDNN where it is and the process sees one device: XLA cannot split a foreign call over
    several, and one device already uses all cores. With several, XLA's own convolutions do better.

    Raises:
        UsageError: oneDNN has been chosen, and this version of XLA cannot call it.
    """
    if _choice == "onednn":
        _refuse(_reason())
    if _choice != "auto":
        return _choice
    if jax.default_backend() != "cpu":
        return "plain"
    return "onednn" if jax.device_count() == 1 and _reason() is None else "xla"


def lacking() -> str | None:
    """Why `auto` has to do without oneDNN on this CPU, and what helps, in one line; None if it need not."""
    return _reason() if _choice == "auto" and jax.default_backend() == "cpu" else None


def want_one_device() -> bool:
    """Whether a CPU is used best as one JAX device; may be asked before JAX starts."""
    return _choice in {"auto", "onednn"} and onednn.available()


def _reason() -> str | None:
    """Why oneDNN cannot be used; JAX has started."""
    return onednn.reason_absent() or ffi.refusal()


def _refuse(reason: str | None) -> None:
    if reason is not None:
        raise UsageError(f"kernels 'onednn' cannot be used: {reason}; or use 'auto'")
