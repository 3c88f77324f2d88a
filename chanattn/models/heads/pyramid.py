"""The feature pyramid of detectors: maps of one width, and coarser ones than a backbone has.

Lin, Dollar, Girshick, He, Hariharan, Belongie. Feature Pyramid Networks for Object Detection. CVPR 2017.
arXiv:1612.03144; the further levels: RetinaNet (arXiv:1708.02002) and FCOS (arXiv:1904.01355).
"""

from collections.abc import Sequence

import flax.linen as nn
import jax

from chanattn.layers import Conv, nearest
from chanattn.models.heads.parts import MapHead
from chanattn.models.slots import Slot

# PyTorch's kaiming_uniform with a=1, which both codes have here.
_init = nn.initializers.variance_scaling(1.0, "fan_in", "uniform")


class FeaturePyramid(MapHead):
    """Maps C_3, ..., C_5 of a backbone -> P_3, ..., P_5 and coarser ones, all of `width` channels.

    M_i = conv1x1(C_i) + nearest(M_i+1), of the size of C_i whatever that is, and P_i = conv3x3(M_i). A
    further level is a convolution of stride 2 on the one before, with a ReLU in front of all but the first.
    Convolutions have a bias, and no norm. `neck` puts a mechanism on every lateral, behind its 1x1
    convolution; the published pyramid has none.

    Attributes:
        further: How many levels come behind those of the maps.
        source: Of the first of these: "p5", the coarsest level (FCOS), or "c5", the coarsest map (RetinaNet).
    """

    further: int = 2
    source: str = "p5"

    @nn.compact
    def __call__(self, maps: Sequence[jax.Array], train: bool) -> list[jax.Array]:
        """Maps (N, h, w, C), the finest first -> levels (N, h, w, width), the finest first."""
        arguments = {"use_bias": True, "kernel_init": _init, **self.types()}
        found: list[jax.Array] = []
        above = None
        for number in reversed(range(1, len(maps) + 1)):
            name, map_ = f"lateral{number}", maps[number - 1]
            x = self.attend(Slot(), name, Conv(self.width, 1, name=name, **arguments)(map_), train)
            above = x if above is None else x + nearest(above, x.shape[1:3])
            found.insert(0, Conv(self.width, 3, name=f"level{number}", **arguments)(above))
        x = found[-1] if self.source == "p5" else maps[-1]
        for number in range(len(maps) + 1, len(maps) + self.further + 1):
            x = Conv(self.width, 3, 2, name=f"level{number}", **arguments)(x)
            found.append(x)
            x = nn.relu(x)
        return found
