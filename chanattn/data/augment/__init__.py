"""Augmentations: pure functions of a key and a batch of float images in [0, 1], for use inside `jit`."""

from chanattn.data.augment.color import color_jitter
from chanattn.data.augment.geometry import cutout, flip, pad_and_crop
from chanattn.data.augment.mix import Mixed, cutmix, mixup
from chanattn.data.augment.randaugment import rand_augment

__all__ = [
    "Mixed",
    "color_jitter",
    "cutmix",
    "cutout",
    "flip",
    "mixup",
    "pad_and_crop",
    "rand_augment",
]
