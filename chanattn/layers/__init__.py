"""Convolution, normalisation and pooling with PyTorch's numerics: what mechanisms and models are built from.

Flax's own layers differ in details that decide whether published weights load exactly: padding of
strided convolutions, epsilons, momentum, the divisor of average pools at the border.
"""

from chanattn.layers.activation import Activation, activation
from chanattn.layers.conv import Conv, MixedConv, StandardizedConv
from chanattn.layers.dense import GroupedDense, dense
from chanattn.layers.maximum import maximum, minimum
from chanattn.layers.norm import BatchNorm
from chanattn.layers.pool import avg_pool, blur_pool, max_pool
from chanattn.layers.resize import bilinear, nearest
from chanattn.layers.softmax import softmax

__all__ = [
    "Activation",
    "BatchNorm",
    "Conv",
    "GroupedDense",
    "MixedConv",
    "StandardizedConv",
    "activation",
    "avg_pool",
    "bilinear",
    "blur_pool",
    "dense",
    "max_pool",
    "maximum",
    "minimum",
    "nearest",
    "softmax",
]
