"""From uint8 pictures and their fields to a batch, inside the jitted step: augmentation, normalisation."""

from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from chanattn.batch import Batch
from chanattn.data import augment, fields
from chanattn.data.augment import geometry
from chanattn.data.augment import scale as scales
from chanattn.data.augment.mix import mixup_or_cutmix, partner
from chanattn.data.captions import TOKENS, Captions
from chanattn.data.fields import Field, Mask, Parts, Placement
from chanattn.data.fit import image_size
from chanattn.data.vocabulary import PAD


def training_batch(
    key: jax.Array, stored: Batch, kinds: Mapping[str, Field], dataset: ConfigDict
) -> Batch:
    """Augments and normalises a batch as `dataset.augment` says.

    Args:
        key: PRNG key of this step.
        stored: `image` (B, H, W, C) uint8, C 1 or 3; `index` (B,); the arrays of the fields.
        kinds: The fields, of kinds that can follow the augmentations (`chanattn.config` says which).
        dataset: `config.dataset`.

    Returns:
        `image` (B, H, W, 3) float32, `index` (B,), `mask` (B,) of ones and the arrays of the fields, moved as
        their pictures; with mixup or cutmix also `mix_label` (B,) and `mix_weight` (B,), the weight of
        `label`; the rest of it goes to `mix_label`. With captions also `tokens` (B, L), one of those of each
        picture, drawn anew at every step.
    """
    a = dataset.augment
    k_crop, k_flip, k_rand, k_color, k_cutout, k_mix = jax.random.split(key, 6)
    x = unit_range(stored["image"])
    number = len(x)
    top = left = jnp.zeros(number, jnp.int32)
    mirrored = jnp.zeros(number, bool)
    scale = jnp.ones(number)
    if a.random_scale or a.crop:
        top, left, scale = _scaled(jax.random.fold_in(key, 6), stored, kinds, dataset)
        size = image_size(a.crop) or _size(x)
        fill = jnp.asarray(dataset.mean, x.dtype)
        x = jax.vmap(scales.place, (0, None, 0, 0, 0, None))(x, size, top, left, scale, fill)
    if a.pad_crop:
        offsets = geometry.offsets(k_crop, number, a.pad_crop)
        x = geometry.windows(x, offsets, a.pad_crop)
        top, left = offsets[:, 0] - a.pad_crop, offsets[:, 1] - a.pad_crop
    if a.flip:
        mirrored = geometry.mirrored(k_flip, number)
        x = geometry.mirror(x, mirrored)
    if a.rand_augment_ops:
        x = augment.rand_augment(k_rand, x, a.rand_augment_ops, a.rand_augment_magnitude)
    if a.color_jitter:
        x = augment.color_jitter(k_color, x, a.color_jitter)
    if a.cutout:
        x = augment.cutout(k_cutout, x, a.cutout, jnp.asarray(dataset.mean, x.dtype))
    batch = wide(stored)
    if a.pad_crop or a.flip or a.random_scale or a.crop:
        before, now = _size(stored["image"]), _size(x)
        batch |= moved(batch, kinds, before, now, top, left, scale, mirrored)
    batch["mask"] = jnp.ones(number, jnp.float32)
    for name, kind in kinds.items():
        if isinstance(kind, Captions):
            batch[TOKENS] = one_of(jax.random.fold_in(key, 7), batch[name], batch["index"])
    if a.mixup or a.cutmix:
        x, weight = mixup_or_cutmix(k_mix, x, a.mixup, a.cutmix)
        batch |= {"mix_label": partner(batch["label"]), "mix_weight": weight}
    return batch | {"image": normalise(x, dataset)}


def moved(
    batch: Batch,
    kinds: Mapping[str, Field],
    stored: tuple[int, int],
    size: tuple[int, int],
    top: jax.Array,
    left: jax.Array,
    scale: jax.Array,
    mirrored: jax.Array,
) -> Batch:
    """The arrays of all fields, those of each example moved as its picture; numbers (B,) of a `Placement`."""
    found: Batch = {}
    for name, kind in kinds.items():

        def move(
            parts: Parts,
            top: jax.Array,
            left: jax.Array,
            scale: jax.Array,
            mirrored: jax.Array,
            kind: Field = kind,
        ) -> Parts:
            return kind.move(parts, Placement(stored, size, top, left, scale, scale, mirrored))

        parts = jax.vmap(move)(fields.split(batch, name, kind), top, left, scale, mirrored)
        found |= {name + suffix: array for suffix, array in parts.items()}
    return found


def one_of(key: jax.Array, captions: jax.Array, index: jax.Array) -> jax.Array:
    """One caption of each picture, (B, K, L) -> (B, L), which `key` and its `index` (B,) decide alone.

    As an epoch has every picture once, that is drawn by the seed, the epoch and the picture.
    """

    def of(index: jax.Array, sentences: jax.Array) -> jax.Array:
        there = (sentences != PAD).any(axis=-1).sum()
        drawn = jax.random.randint(jax.random.fold_in(key, index), (), 0, jnp.maximum(there, 1))
        return sentences[drawn]

    return jax.vmap(of)(index, captions)


def _scaled(
    key: jax.Array, stored: Batch, kinds: Mapping[str, Field], dataset: ConfigDict
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Top, left and scale of each example, (B,) each."""
    a = dataset.augment
    shape = _size(stored["image"])
    size = image_size(a.crop) or shape
    limits = a.random_scale or (1.0, 1.0)
    masks = {name: kind for name, kind in kinds.items() if isinstance(kind, Mask)}
    if a.max_class_share == 1 or not masks:
        draw = partial(scales.draw, stored=shape, size=size, scales=limits)
        return jax.vmap(draw)(jax.random.split(key, len(stored["image"])))
    ((name, kind),) = masks.items()
    small, thinner = scales.thinned(size)

    def of(key: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        def wanted(top: jax.Array, left: jax.Array, scale: jax.Array) -> jax.Array:
            scale = scale * thinner
            seen = kind.move({"": labels}, Placement(shape, small, top, left, scale, scale))[""]
            return scales.largest_share(seen, kind.classes) <= a.max_class_share

        return scales.draw(key, shape, size, limits, wanted)

    return jax.vmap(of)(jax.random.split(key, len(stored["image"])), stored[name])


def _size(images: jax.Array) -> tuple[int, int]:
    return images.shape[1], images.shape[2]


def evaluation_batch(feed: Batch, dataset: ConfigDict) -> Batch:
    """`image` (B, H, W, 3) float32 normalised from uint8; all else as it is, integers as int32."""
    return wide(feed) | {"image": normalise(unit_range(feed["image"]), dataset)}


def wide(stored: Batch) -> Batch:
    """Whole numbers of one or two bytes as int32, in which they can be reckoned with."""
    small = (jnp.uint8, jnp.int8, jnp.int16)
    return {
        name: array.astype(jnp.int32) if array.dtype in small and name != "image" else array
        for name, array in stored.items()
    }


def unit_range(images: jax.Array) -> jax.Array:
    """uint8 (B, H, W, 1 or 3) to float32 (B, H, W, 3) in [0, 1]; grey becomes three equal channels."""
    return jnp.broadcast_to(images.astype(jnp.float32) / 255, (*images.shape[:3], 3))


def normalise(images: jax.Array, dataset: ConfigDict) -> jax.Array:
    """Subtracts `dataset.mean` and divides by `dataset.std`, both of values in [0, 1], per channel."""
    mean, std = jnp.asarray(dataset.mean, jnp.float32), jnp.asarray(dataset.std, jnp.float32)
    return (images - mean) / std
