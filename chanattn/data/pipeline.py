"""From uint8 pictures to a batch, inside the jitted step: scaling, augmentation, normalisation."""

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from chanattn.batch import Batch
from chanattn.data import augment
from chanattn.data.augment.mix import mixup_or_cutmix, partner


def training_batch(
    key: jax.Array, images: jax.Array, labels: jax.Array, dataset: ConfigDict
) -> Batch:
    """Augments and normalises a batch as `dataset.augment` says.

    Args:
        key: PRNG key of this step.
        images: (B, H, W, C) uint8, C 1 or 3.
        labels: (B,) int32.
        dataset: `config.dataset`.

    Returns:
        `image` (B, H, W, 3) float32, `label` (B,), `mask` (B,) of ones; with mixup or cutmix also `mix_label`
        (B,) and `mix_weight` (B,), the weight of `label`; the rest of it goes to `mix_label`.
    """
    a = dataset.augment
    k_crop, k_flip, k_rand, k_color, k_cutout, k_mix = jax.random.split(key, 6)
    x = unit_range(images)
    if a.pad_crop:
        x = augment.pad_and_crop(k_crop, x, a.pad_crop)
    if a.flip:
        x = augment.flip(k_flip, x)
    if a.rand_augment_ops:
        x = augment.rand_augment(k_rand, x, a.rand_augment_ops, a.rand_augment_magnitude)
    if a.color_jitter:
        x = augment.color_jitter(k_color, x, a.color_jitter)
    if a.cutout:
        x = augment.cutout(k_cutout, x, a.cutout, jnp.asarray(dataset.mean, x.dtype))
    batch = {"label": labels, "mask": jnp.ones(len(labels), jnp.float32)}
    if a.mixup or a.cutmix:
        x, weight = mixup_or_cutmix(k_mix, x, a.mixup, a.cutmix)
        batch |= {"mix_label": partner(labels), "mix_weight": weight}
    return batch | {"image": normalise(x, dataset)}


def evaluation_batch(feed: Batch, dataset: ConfigDict) -> Batch:
    """`image` (B, H, W, 3) float32 normalised from uint8; `label` and `mask` as they are."""
    return feed | {"image": normalise(unit_range(feed["image"]), dataset)}


def unit_range(images: jax.Array) -> jax.Array:
    """uint8 (B, H, W, 1 or 3) to float32 (B, H, W, 3) in [0, 1]; grey becomes three equal channels."""
    return jnp.broadcast_to(images.astype(jnp.float32) / 255, (*images.shape[:3], 3))


def normalise(images: jax.Array, dataset: ConfigDict) -> jax.Array:
    """Subtracts `dataset.mean` and divides by `dataset.std`, both of values in [0, 1], per channel."""
    mean, std = jnp.asarray(dataset.mean, jnp.float32), jnp.asarray(dataset.std, jnp.float32)
    return (images - mean) / std
