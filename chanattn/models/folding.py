"""Inference on a CPU with every norm, sum and ReLU folded into the convolution before it.

    with models.folding():
        logits, _ = model.apply(variables, images)

With running statistics a norm is a factor and a shift a channel. The factor goes into the kernel, and
oneDNN's convolution adds the shift and the shortcut and takes the ReLU when it writes its result, so that the
map is not read and written again for each. Where oneDNN does not compute the convolution, as in a process
that has not chosen it (`layers.kernels`), nothing changes.

The networks know nothing of this. Flax calls an interceptor with every call of a module's method, and the one
below remembers what the convolutions have returned. If a norm is given that very array, both are computed at
once from what the convolution was given. Nobody needs the first result then, and the compiler drops it.

The kernels are multiplied and brought into oneDNN's layout in every call. Where one network is called again
and again on few pictures, this can be done beforehand, for one shape of pictures:

    variables = models.folded(model, variables, images.shape)
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from chanattn.layers import BatchNorm, Conv, activation, kernels
from chanattn.layers.convolution import convolve, fits_onednn
from chanattn.models.block import Block
from chanattn.onednn import operations
from chanattn.onednn.convolution import Geometry

FOLDED = "folded"
"""Collection of variables: kernels in oneDNN's layout and biases, by the geometry of the convolution."""


def folded(
    model: nn.Module, variables: Mapping[str, Any], shape: tuple[int, ...], **inputs: Any
) -> Mapping[str, Any]:
    """The variables, and what `folding` makes of them for pictures of that shape, in the collection `FOLDED`.

    They give the same results. For pictures of another shape they do as before, and so do all where oneDNN
    does not compute. When the variables change, this is to be called anew.

    Args:
        model: Called as `apply(variables, images, train=False)`.
        variables: Of it.
        shape: Of the pictures, (N, H, W, C).
        **inputs: What else it is given.
    """
    if kernels.current() != "onednn":
        return variables

    @jax.jit
    def keep(variables: Mapping[str, Any]) -> Any:
        images = jnp.zeros(shape)
        with folding():
            return model.apply(variables, images, train=False, mutable=[FOLDED], **inputs)[1]

    return {**variables, **keep(variables)}


@contextlib.contextmanager
def folding() -> Iterator[None]:
    """Folds what is traced meanwhile; to be entered inside the function that is compiled.

    Outside of `jax.jit` the results are the same, but no compiler drops what has been computed twice.
    """
    with nn.intercept_methods(_Folding().call):
        yield


@dataclasses.dataclass(frozen=True)
class _Convolution:
    """How a map was computed, and by which module."""

    module: Conv
    image: jax.Array
    kernel: jax.Array
    bias: jax.Array | None
    window: Mapping[str, Any]

    def scaled(self, factor: jax.Array, shift: jax.Array) -> "_Convolution":
        """The convolution whose result is y * factor + shift."""
        bias = shift if self.bias is None else self.bias * factor + shift
        return dataclasses.replace(self, kernel=self.kernel * factor, bias=bias)

    def then(self, act: str, addend: jax.Array | None = None) -> jax.Array:
        """act(y + addend)."""
        relu = act == "relu"
        y = self._by_kept(addend, relu)
        if y is None:
            y = convolve(self.image, self.kernel, self.bias, addend, relu=relu, **self.window)
        return activation(act)(y) if act and not relu else y

    def _by_kept(self, addend: jax.Array | None, relu: bool) -> jax.Array | None:
        """The same by what `folded` has kept, or keeps now; None if there is nothing."""
        geometry = Geometry(self.image.shape, self.kernel.shape, **self.window)
        name = operations.name_of(geometry)
        if self.module.is_mutable_collection(FOLDED) and fits_onednn(geometry):
            kept = operations.pack(self.kernel, geometry), self.bias
            self.module.put_variable(FOLDED, name, kept)
        if not self.module.has_variable(FOLDED, name):
            return None
        packed, bias = self.module.get_variable(FOLDED, name)
        return operations.convolution_of_packed(self.image, packed, bias, addend, geometry, relu)


class _Folding:
    """The interceptor of one trace."""

    def __init__(self) -> None:
        # By identity. The arrays are kept, too: the identity of one that is gone may be given to another.
        self._known: dict[int, tuple[jax.Array, _Convolution]] = {}

    def call(
        self,
        method: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        context: nn.module.InterceptorContext,
    ) -> Any:
        """The result of a method, called as it is or replaced."""
        module = context.module
        if not args:
            return method(**kwargs)
        if type(module) is Conv and context.method_name == "__call__":
            y = method(*args, **kwargs)
            if _by_onednn(module, *args):
                self._remember(y, _convolution(module, *args))
            return y
        _, before = self._known.get(id(args[0]), (None, None))
        if before is None:
            return method(*args, **kwargs)
        if isinstance(module, BatchNorm) and _is_linear(module):
            folded = before.scaled(*_factor_and_shift(module))
            y = folded.then(module.act)
            if not module.act:
                self._remember(y, folded)
            return y
        if isinstance(module, Block) and context.method_name == "add_act":
            return before.then(module.activation, *args[1:])
        return method(*args, **kwargs)

    def _remember(self, y: jax.Array, how: _Convolution) -> None:
        self._known[id(y)] = (y, how)


def _by_onednn(conv: Conv, x: jax.Array) -> bool:
    """Whether oneDNN computes the convolution, or may."""
    floats = x.dtype == conv.dtype == conv.param_dtype == jnp.float32
    return kernels.current() == "onednn" and floats and not conv.is_initializing()


def _convolution(conv: Conv, x: jax.Array) -> _Convolution:
    parameters = conv.variables["params"]
    return _Convolution(conv, x, parameters["kernel"], parameters.get("bias"), conv.window(x))


def _is_linear(norm: BatchNorm) -> bool:
    return not norm.train and norm.dtype == norm.param_dtype == jnp.float32


def _factor_and_shift(norm: BatchNorm) -> tuple[jax.Array, jax.Array]:
    learnt, running = norm.variables["params"], norm.variables["batch_stats"]
    factor = lax.rsqrt(running["var"] + norm.epsilon) * learnt["scale"]
    return factor, learnt["bias"] - running["mean"] * factor
