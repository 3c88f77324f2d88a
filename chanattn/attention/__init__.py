"""The family of channel-wise soft attention.

    module = attention.SE(reduction=8)              # or attention.create("se", reduction=8)
    variables = module.init(key, x)                 # x: (N, H, W, C)
    y = module.apply(variables, x)

Every mechanism is a class of Flax modules; `names()` lists them, `describe(name)` tells slot, placement,
options and citation, and `register` makes one of your own known. The arithmetic alone, without Flax, is in
`functional`. A new mechanism is one file beside these and one line in the list below.
"""

from chanattn.attention import functional
from chanattn.attention.bam import BAM
from chanattn.attention.bat import BilinearTransform
from chanattn.attention.bisenet import ARM, FFM
from chanattn.attention.cbam import CBAM, CBAMLight
from chanattn.attention.channel import ChannelAttention
from chanattn.attention.controls import BiasOnly, Constant, Random, Static
from chanattn.attention.coord import CoordinateAttention
from chanattn.attention.danet_cam import DANetChannelAttention
from chanattn.attention.danet_pam import DANetPositionAttention
from chanattn.attention.decay import decays
from chanattn.attention.dia import DIA
from chanattn.attention.double import DoubleAttention
from chanattn.attention.eca import ECA
from chanattn.attention.eca_timm import CECA, ECAMLP
from chanattn.attention.encnet import EncNet
from chanattn.attention.epsa import PyramidSqueezeAttention
from chanattn.attention.ese import ESE
from chanattn.attention.fca import FCA
from chanattn.attention.gaussian_ct import GaussianCT
from chanattn.attention.gc import GlobalContext
from chanattn.attention.gct import GCT
from chanattn.attention.ge import GatherExcite
from chanattn.attention.grn import GlobalResponseNorm
from chanattn.attention.gsop import GSoP
from chanattn.attention.hard import (
    Argmax,
    GumbelSigmoid,
    GumbelSoftmax,
    HardConcrete,
    RandomK,
    TopK,
)
from chanattn.attention.identity import Identity
from chanattn.attention.lct import LCT
from chanattn.attention.mechanism import PLACEMENTS, Measurement, Mechanism, Option
from chanattn.attention.module import Attention, ConvAttention
from chanattn.attention.non_local import NonLocal
from chanattn.attention.polarized import PolarizedSelfAttention
from chanattn.attention.registry import (
    check_options,
    create,
    describe,
    extra_losses,
    is_mechanism,
    names,
    options,
    overridden,
    register,
)
from chanattn.attention.sca import SCA
from chanattn.attention.scse import ChannelSE, ConcurrentSE, SpatialSE
from chanattn.attention.se import SE
from chanattn.attention.se_variants import ECANS, SEGC, SEVar1, SEVar2, SEVar3
from chanattn.attention.sge import SpatialGroupEnhance
from chanattn.attention.shuffle import ShuffleAttention
from chanattn.attention.simam import SimAM
from chanattn.attention.sk import SK
from chanattn.attention.splat import SplitAttention
from chanattn.attention.srm import SRM
from chanattn.attention.strips import (
    EfficientLocalAttention,
    SimpleCoordinateAttention,
    StripAttention,
)
from chanattn.attention.triplet import TripletAttention


def __dir__() -> list[str]:
    """What is to be used; files of the same names as functions and options are not."""
    return __all__


__all__ = [
    "ARM",
    "BAM",
    "CBAM",
    "CECA",
    "DIA",
    "ECA",
    "ECAMLP",
    "ECANS",
    "ESE",
    "FCA",
    "FFM",
    "GCT",
    "LCT",
    "PLACEMENTS",
    "SCA",
    "SE",
    "SEGC",
    "SK",
    "SRM",
    "Argmax",
    "Attention",
    "BiasOnly",
    "BilinearTransform",
    "CBAMLight",
    "ChannelAttention",
    "ChannelSE",
    "ConcurrentSE",
    "Constant",
    "ConvAttention",
    "CoordinateAttention",
    "DANetChannelAttention",
    "DANetPositionAttention",
    "DoubleAttention",
    "EfficientLocalAttention",
    "EncNet",
    "GSoP",
    "GatherExcite",
    "GaussianCT",
    "GlobalContext",
    "GlobalResponseNorm",
    "GumbelSigmoid",
    "GumbelSoftmax",
    "HardConcrete",
    "Identity",
    "Measurement",
    "Mechanism",
    "NonLocal",
    "Option",
    "PolarizedSelfAttention",
    "PyramidSqueezeAttention",
    "Random",
    "RandomK",
    "SEVar1",
    "SEVar2",
    "SEVar3",
    "ShuffleAttention",
    "SimAM",
    "SimpleCoordinateAttention",
    "SpatialGroupEnhance",
    "SpatialSE",
    "SplitAttention",
    "Static",
    "StripAttention",
    "TopK",
    "TripletAttention",
    "check_options",
    "create",
    "decays",
    "describe",
    "extra_losses",
    "functional",
    "is_mechanism",
    "names",
    "options",
    "overridden",
    "register",
]
