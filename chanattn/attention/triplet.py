"""Triplet attention. Misra, Nalamada, Arasanipalai, Hou; WACV 2021; arXiv:2010.03045.

A spatial gate q(t) = t sigmoid(BN(conv_7x7([max; mean]))) pools the last axis of a cube t away and weighs the
other two. Three such gates look at the map from its three sides:

    cw: pools H, weighs the plane of rows C and columns W
    hc: pools W, weighs the plane of rows H and columns C
    hw: pools C, weighs the plane of rows H and columns W (`spatial`)
    y = mean of the two or three results

The gate is CBAM's spatial one. Batch norm has momentum 0.99 (in Flax's sense) and starts with scale 1. The
channels are an axis that a kernel slides over, so their order matters. In the authors' ResNet file the
class takes other arguments than in the file of the module itself, which here is the reference.
"""

import flax.linen as nn
import jax

from chanattn.attention import mix
from chanattn.attention.cbam import SpatialAttention
from chanattn.attention.module import Attention
from chanattn.attention.registry import register

# Order of the axes (N, H, W, C) in which the pooled one is last; each is its own inverse.
SIDES = {"cw": (0, 3, 2, 1), "hc": (0, 1, 3, 2), "hw": (0, 1, 2, 3)}


@register(
    "triplet",
    year=2021,
    axes=("max and mean along each axis in turn", "7x7 convolution on each plane", "sigmoid"),
    order_matters=True,
    citation="Misra, Nalamada, Arasanipalai, Hou. Rotate to Attend: Convolutional Triplet Attention Module. "
    "WACV 2021. arXiv:2010.03045",
    parameters="6 k^2 + 6",
)
class TripletAttention(Attention):
    """Mean of three spatial gates, on the planes C x W, H x C and H x W.

    k = 7. 0.5 at zero logits.

    Attributes:
        spatial: False leaves the two gates that look at the channels.
        kernel_size: k of the convolutions, odd.
    """

    spatial: bool = True
    kernel_size: int = 7

    def __post_init__(self) -> None:
        mix.check_odd(self.kernel_size)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Reweigh every value of (N, H, W, C)."""
        x = self.feature_map(x)
        sides = [side for side in SIDES if self.spatial or side != "hw"]
        results = []
        for side in sides:
            gate = SpatialAttention(
                self.kernel_size,
                scale_init=nn.initializers.ones,
                param_dtype=self.param_dtype,
                name=side,
            )
            rotated = gate(x.transpose(SIDES[side]), train=train)
            results.append(rotated.transpose(SIDES[side]))
        return sum(results[1:], start=results[0]) / len(sides)
