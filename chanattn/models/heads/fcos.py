"""FCOS: every location of a feature pyramid says which object it lies in, and how far its sides are.

Tian, Shen, Chen, He. FCOS: Fully Convolutional One-Stage Object Detection. ICCV 2019. arXiv:1904.01355. In
the improved version of the authors' code, and as torchvision has it.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from chanattn.errors import UsageError
from chanattn.layers import Conv
from chanattn.layers.norm import EPSILON
from chanattn.models.heads.parts import MapHead, Strides, by_stride, check_width
from chanattn.models.heads.pyramid import FeaturePyramid

WIDTH = 256
PRIOR = 0.01  # what a class is given at the start, so that the many empty locations do not drown the rest
PRESETS = ("fcos", "torchvision")

_init = nn.initializers.normal(0.01)


@dataclasses.dataclass(frozen=True)
class Levels:
    """What the locations of every level say, the finest level first; float32.

    Attributes:
        logits: (N, h, w, classes).
        distances: To the left, upper, right and lower side of the object, in pixels: (N, h, w, 4), from 0.
        centerness: Logits of how central the location is in the object: (N, h, w, 1).
    """

    logits: tuple[jax.Array, ...]
    distances: tuple[jax.Array, ...]
    centerness: tuple[jax.Array, ...]


jax.tree_util.register_dataclass(
    Levels, data_fields=["logits", "distances", "centerness"], meta_fields=[]
)


class FCOS(MapHead):
    """`Levels` from a `FeaturePyramid`, by two towers that all levels share.

    A tower is (conv3x3, group norm, ReLU) several times. Behind one of them a convolution gives the logits of
    the classes, behind the other one each the distances, relu(s x) times the stride of the level, and the
    centre-ness. The scale s of each level is learnt; torchvision has none.

    The levels whose stride a stage of the backbone has are made from it, the coarser ones by convolutions of
    stride 2; one of stride s has ceil(H / s) rows. `neck` is in the laterals of the pyramid.

    Attributes:
        levels: Strides of the levels, each twice the one before.
        tower: Convolutions of a tower.
        norm_groups: Of the group norms.
        preset: "fcos", the authors' code, or "torchvision".
    """

    levels: tuple[int, ...] = (8, 16, 32, 64, 128)
    tower: int = 4
    norm_groups: int = 32
    preset: str = "fcos"

    def __post_init__(self) -> None:
        check_width(self.width or WIDTH, self.norm_groups, "fcos", " (task.norm_groups)")
        check_levels(self.levels, self.strides)
        if self.preset not in PRESETS:
            raise UsageError(
                f"unknown preset {self.preset!r} of the head fcos; valid: {', '.join(PRESETS)}"
            )
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        endpoints: Mapping[str, jax.Array],
        *,
        size: tuple[int, int],
        drop: Callable[[jax.Array], jax.Array],
        train: bool,
    ) -> Levels:
        """Endpoints of a backbone -> what every location says; see `Head`."""
        own = by_stride(self.strides)
        maps = [
            _filled(endpoints[own[stride]], tuple(-(-side // stride) for side in size))
            for stride in self.levels
            if stride in own
        ]
        pyramid = FeaturePyramid(
            num_classes=self.num_classes,
            width=self.width or WIDTH,
            neck=self.neck,
            further=len(self.levels) - len(maps),
            name="pyramid",
            **self.types(),
        )
        return self.predict(pyramid(maps, train), drop)

    def predict(self, pyramid: list[jax.Array], drop: Callable[[jax.Array], jax.Array]) -> Levels:
        """Levels of a pyramid (N, h, w, width) -> what their locations say."""
        classification, regression = self._tower("classification"), self._tower("regression")
        rare = nn.initializers.constant(-math.log((1 - PRIOR) / PRIOR))
        logits = self._last(self.num_classes, "logits", rare)
        distances, centerness = self._last(4, "distances"), self._last(1, "centerness")
        found = Levels((), (), ())
        for number, (stride, x) in enumerate(zip(self.levels, pyramid, strict=True), 1):
            for_class, for_box = drop(classification(x)), drop(regression(x))
            reach = distances(for_box)
            if self.preset == "fcos":
                reach *= self.param(f"scale{number}", nn.initializers.ones, (), self.param_dtype)
            found = Levels(
                (*found.logits, logits(for_class)),
                (*found.distances, nn.relu(reach) * stride),
                (*found.centerness, centerness(for_box)),
            )
        return found

    def _tower(self, name: str) -> Callable[[jax.Array], jax.Array]:
        """The layers of a tower, to be called on every level."""
        width, types = self.width or WIDTH, self.types()
        layers: list[Callable[[jax.Array], jax.Array]] = []
        for number in range(1, self.tower + 1):
            before = f"{name}{number}"
            conv = Conv(width, use_bias=True, kernel_init=_init, name=f"{before}_conv", **types)
            norm = nn.GroupNorm(
                self.norm_groups,
                epsilon=EPSILON,
                use_fast_variance=False,
                name=f"{before}_norm",
                **types,
            )
            layers += [conv, norm, nn.relu]

        def tower(x: jax.Array) -> jax.Array:
            for layer in layers:
                x = layer(x)
            return x

        return tower

    def _last(
        self,
        features: int,
        name: str,
        bias_init: nn.initializers.Initializer = nn.initializers.zeros,
    ) -> nn.Module:
        """A convolution in float32 whose outputs are those of the head."""
        return Conv(
            features,
            use_bias=True,
            param_dtype=self.param_dtype,
            kernel_init=_init,
            bias_init=bias_init,
            name=name,
        )


def _filled(x: jax.Array, size: tuple[int, ...]) -> jax.Array:
    """A map with the rows and columns that pools without padding have left out at the end (VoVNet, SENet)."""
    lacking = [(0, most - there) for most, there in zip(size, x.shape[1:3], strict=True)]
    return jnp.pad(x, [(0, 0), *lacking, (0, 0)], mode="edge") if any(map(any, lacking)) else x


def check_levels(levels: tuple[int, ...], strides: Strides) -> None:
    """Refuses levels that a pyramid on a backbone cannot have.

    Args:
        levels: Strides of the levels.
        strides: Of the endpoints.

    Raises:
        UsageError: A stride is not twice the one before, or no stage has the finest one.
    """
    own = by_stride(strides)
    if not levels or any(fine * 2 != coarse for fine, coarse in itertools.pairwise(levels)):
        raise UsageError(
            f"task.strides must double from level to level, such as 8,16,32, not {tuple(levels)}"
        )
    if levels[0] not in own:
        listed = ", ".join(map(str, own))
        raise UsageError(
            f"the finest level cannot have stride {levels[0]}: this network has maps of strides {listed}; "
            "choose task.strides that begin with one of these"
        )
