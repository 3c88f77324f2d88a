"""Networks without norms: NFNet, NF-ResNet and NF-RegNet, whose kernels are standardised instead.

Brock, De, Smith. Characterizing signal propagation to close the performance gap in unnormalized ResNets. ICLR
2021. arXiv:2101.08692 (NF-ResNet, NF-RegNet). Brock, De, Smith, Simonyan. High-Performance Large-Scale Image
Recognition Without Normalization. ICML 2021. arXiv:2102.06171 (NFNet).

With h the input of a block and f its branch, which keeps the variance at the start,

    x <- x + alpha f(x / beta),   beta^2 = 1 + alpha^2 (blocks of the stage before this one)

Attention is "post" in NFNets and NF-ResNets, "mid" in NF-RegNets. A sigmoid gate halves the signal, which the
option `gain=2` of `se` and `eca` makes up for, as in the published networks.
"""

from typing import Any

import flax.linen as nn
import jax

from chanattn.attention.widths import make_divisible
from chanattn.errors import UsageError
from chanattn.layers import StandardizedConv, activation, avg_pool, max_pool
from chanattn.models.block import Block, refuse_conv_slot, refuse_shared_inside
from chanattn.models.network import Network, Outputs, check_pictures

#: By activation, the factor that keeps a unit variance: 1 / the deviation of act(z), z normal.
GAMMA = {"relu": 1.7139588594436646, "gelu_exact": 1.7015043497085571, "silu": 1.7881293296813965}

#: By stem, widths over that of the last and strides of its convolutions; "conv7" has a max pool behind it.
STEMS: dict[str, tuple[tuple[float, int], ...]] = {
    "conv3": ((1, 2),),
    "conv7": ((1, 2),),
    "quad": ((1 / 8, 2), (1 / 4, 1), (1 / 2, 1), (1, 2)),
}
_NORMS = ("pre_norm", "before_norms", "after_norms")


def _width(channels: float) -> int:
    return make_divisible(channels, 8, keep=0.9)


class NormFreeBlock(Block, kw_only=True):  # type: ignore[call-arg]
    """Pre-activated 1x1, 3x3 (one or two) and 1x1 convolutions.

    "mid" is behind the 3x3 convolutions and in front of the activation.

    Attributes:
        filters: Output channels.
        stride: Of the first 3x3 convolution.
        expansion: Width over that of the output, or, if `width_of_input`, of the input.
        group_width: Width of a group; 0: there is one group.
        width_of_input: See above.
        extra_conv: There are two 3x3 convolutions.
        alpha: Factor of the branch.
        beta: Expected deviation of the input.
        skip_gain: One more factor of the branch is learnt (SkipInit), zero at the start if `zero_init`; else
            the gain of the last convolution starts so.
        gamma_in_act: The factor that keeps the variance is of activations, not of convolutions.
        padding: Of the convolutions, see `layers.Conv`.
    """

    filters: int
    stride: int = 1
    expansion: float = 0.5
    group_width: int = 0
    width_of_input: bool = False
    extra_conv: bool = False
    alpha: float = 0.2
    beta: float = 1.0
    skip_gain: bool = False
    gamma_in_act: bool = False
    padding: str = "symmetric"

    def conv_layer(self, features: int, kernel_size: int, **more: Any) -> nn.Module:
        """A convolution with a standardised kernel and a bias."""
        gamma = 1.0 if self.gamma_in_act else GAMMA[self.activation]
        more |= {"use_bias": True, "gamma": gamma, "padding": self.padding}
        return StandardizedConv(features, kernel_size, **more, **self.types())

    def act(self, x: jax.Array) -> jax.Array:
        """The activation, with its factor if it has one."""
        return scaled_act(x, self.activation, self.gamma_in_act)

    def shortcut_of(self, x: jax.Array, activated: jax.Array) -> jax.Array:
        """The input, or, where the shape changes, a pool and a 1x1 convolution of its activation."""
        if self.stride == 1 and x.shape[-1] == self.filters:
            return x
        if self.stride > 1:
            activated = avg_pool(
                activated, self.stride, self.stride, count_padding=False, ceil_mode=True
            )
        y: jax.Array = self.conv_layer(self.filters, 1, name="shortcut")(activated)
        return y

    @nn.compact
    def __call__(self, x: jax.Array, state: Any = None) -> tuple[jax.Array, Any]:
        """(N, H, W, I) -> (N, H', W', filters), and the state, see `Block`."""
        width = _width(self.expansion * (x.shape[-1] if self.width_of_input else self.filters))
        groups = width // self.group_width if self.group_width else 1
        width = groups * self.group_width or width
        y, state = self.attend("pre", x, state)
        y = self.act(y) / self.beta
        shortcut = self.shortcut_of(x, y)
        y = self.act(self.conv(1, y, width, 1))
        y = self.conv(2, y, width, 3, stride=self.stride, groups=groups)
        last = 3
        if self.extra_conv:
            y = self.conv(3, self.act(y), width, 3, groups=groups)
            last = 4
        y, state = self.attend("mid", y, state)
        silent = self.zero_init and not self.skip_gain
        gain = nn.initializers.zeros if silent else nn.initializers.ones
        y = self.conv(last, self.act(y), self.filters, 1, gain_init=gain)
        y, state = self.attend("post", y, state)
        y = self.drop_branch(y)
        if self.skip_gain:
            start = nn.initializers.zeros if self.zero_init else nn.initializers.ones
            y = y * self.param("skip_gain", start, (), self.param_dtype).astype(y.dtype)
        shortcut, state = self.attend("identity", shortcut, state)
        return self.attend("after_sum", y * self.alpha + shortcut, state)


def scaled_act(x: jax.Array, name: str, scaled: bool) -> jax.Array:
    """The activation, times `GAMMA` if `scaled`."""
    y = activation(name)(x)
    return y * GAMMA[name] if scaled else y


class NFNet(Network, kw_only=True):  # type: ignore[call-arg]
    """Stem, stages of blocks, 1x1 convolution if any, activation, global mean, classifier; no norms.

    Attributes:
        layers: Blocks a stage.
        widths: Output channels a stage.
        stem: A key of `STEMS`.
        stem_width: Channels of the last convolution of the stem.
        expansion: Of the blocks, see there, as are the five that follow; of `width_of_input`, the very first
            has 1.
        group_width: Width of a group.
        width_of_input: The blocks' width is that of their input, times the expansion.
        extra_conv: Two 3x3 convolutions a block.
        alpha: Factor of the branches.
        skip_gain: Branches have a learnt factor.
        gamma_in_act: Activations have the factor that keeps the variance (DeepMind's code).
        padding: Of all convolutions, see `layers.Conv`.
    """

    layers: tuple[int, ...]
    widths: tuple[int, ...]
    stem: str = "quad"
    stem_width: int = 128
    expansion: float = 0.5
    group_width: int = 0
    width_of_input: bool = False
    extra_conv: bool = False
    alpha: float = 0.2
    skip_gain: bool = False
    gamma_in_act: bool = False
    padding: str = "symmetric"

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_conv_slot(self.slots, "and networks without norms have neither in that order")
        for field, valid in (("stem", STEMS), ("activation", GAMMA)):
            if getattr(self, field) not in valid:
                raise UsageError(
                    f"unknown {field} {getattr(self, field)!r} of a network without norms; valid:"
                    f" {', '.join(valid)}"
                )
        if self.width_of_input:
            refuse_shared_inside(self.slots)
        gate = self.slots.gate
        if gate.name != "identity" and gate.placement in _NORMS:
            raise UsageError(
                f"attention {gate.name!r} cannot be placed at {gate.placement!r}: the network has no norms"
            )

    @property
    def depths(self) -> tuple[int, ...]:
        """Blocks a stage."""
        return self.layers

    @property
    def strides(self) -> dict[str, int]:
        """Pixels of the input per step of every endpoint that is a map."""
        return self._strides(2, 4)

    def _conv(self, name: str, features: int, kernel_size: int, stride: int = 1) -> nn.Module:
        gamma = 1.0 if self.gamma_in_act else GAMMA[self.activation]
        more: dict[str, Any] = {"stride": stride, "padding": self.padding, "gamma": gamma}
        return StandardizedConv(
            features, kernel_size, use_bias=True, name=name, **more, **self._types()
        )

    def _act(self, x: jax.Array) -> jax.Array:
        return scaled_act(x, self.activation, self.gamma_in_act)

    def _stem(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The last map of stride 2, and what the first stage is given."""
        before = x
        for number, (share, stride) in enumerate(STEMS[self.stem], 1):
            before = x
            x = self._act(x) if number > 1 else x
            size = 7 if self.stem == "conv7" else 3
            conv = self._conv(f"stem_conv{number}", round(share * self.stem_width), size, stride)
            x = conv(x)
        if self.stem == "conv7":
            return x, max_pool(x, 3, 2, padding=1)
        return (before if self.stem == "quad" else x), x

    def _final(self, x: jax.Array, train: bool) -> jax.Array:
        if self.num_features:
            x = self._conv("final_conv", self.num_features, 1)(x)
        return self._act(x)

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False, **inputs: Any) -> Outputs:
        """(N, H, W, 3) -> the head's outputs and the endpoints, see `Network`; `inputs` are for the head.

        In training, stochastic depth and dropout need the `dropout` random stream.

        Raises:
            UsageError: The pictures have not four axes.
        """
        check_pictures(x)
        pictures = x
        before, x = self._stem(x.astype(self.dtype))
        endpoints, variance = {"stem": before}, 1.0
        for stage, (depth, width) in enumerate(zip(self.layers, self.widths, strict=True), 1):
            first_stride = 1 if stage == 1 and self.stem != "conv3" else 2
            shared, state = self._shared_attention(stage), None
            for number in range(1, depth + 1):
                first = stage == number == 1
                x, state = NormFreeBlock(
                    filters=width,
                    stride=first_stride if number == 1 else 1,
                    expansion=1.0 if first and self.width_of_input else self.expansion,
                    group_width=self.group_width,
                    width_of_input=self.width_of_input,
                    extra_conv=self.extra_conv,
                    alpha=self.alpha,
                    beta=variance**0.5,
                    skip_gain=self.skip_gain,
                    gamma_in_act=self.gamma_in_act,
                    padding=self.padding,
                    shared=shared,
                    **self._of_every_block(stage, number, x, train),
                )(x, state)
                variance = (1.0 if number == 1 else variance) + self.alpha**2
            x = endpoints[f"stage{stage}"] = self._end_stage(x, stage, train)
        return self._finish(x, endpoints, pictures, train, inputs)
