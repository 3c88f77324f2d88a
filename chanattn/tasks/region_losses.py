"""Losses of whole regions, beside the cross-entropy of their pixels: soft Dice, and Lovász-softmax.

Both are computed for every picture by itself, over its pixels that have a class and the classes that these
have, so that a batch that is computed in parts has the same gradient. (`optax.losses.dice_loss` cannot leave
pixels out.)
"""

import jax
import jax.numpy as jnp


def dice(logits: jax.Array, label_map: jax.Array) -> jax.Array:
    """1 - the mean over classes of 2 sum_i(p_i t_i) / sum_i(p_i + t_i), of every picture.

    p are probabilities and t is 1 at the pixels of the class. Milletari, Navab and Ahmadi, 3DV 2016,
    arXiv:1606.04797, without their squares.

    Args:
        logits: (B, H, W, classes).
        label_map: (B, H, W); negative: no class.

    Returns:
        (B,) float32 from 0 to 1; 0 of a picture without any class.
    """
    p, t, valid = _flat(logits, label_map)
    p = jnp.where(valid[:, None], p, 0.0)
    pixels = t.sum(axis=-1)
    share = 2 * (p * t).sum(axis=-1) / jnp.maximum(p.sum(axis=-1) + pixels, 1.0)
    return _mean_over_present(1 - share, pixels)


def lovasz_softmax(logits: jax.Array, label_map: jax.Array) -> jax.Array:
    """The Lovász extension of 1 - IoU at the errors |t - p|, the mean over classes, of every picture.

    With the errors of a class in falling order, each weighs as much as 1 - IoU grows when its pixel is taken
    for wrong too. Berman, Rannen Triki and Blaschko, CVPR 2018, arXiv:1705.08790, equations 8, 9 and 11.

    Args:
        logits: (B, H, W, classes).
        label_map: (B, H, W); negative: no class.

    Returns:
        (B,) float32 from 0 to 1; 0 of a picture without any class.
    """
    p, t, valid = _flat(logits, label_map)
    error = jnp.where(valid[:, None], jnp.abs(t - p), -1.0)  # pixels without a class come last
    falling, t_sorted = jax.lax.sort((-error, t), num_keys=1)
    pixels = t.sum(axis=-1)
    left = pixels[..., None] - jnp.cumsum(t_sorted, axis=-1)
    union = pixels[..., None] + jnp.cumsum(1 - t_sorted, axis=-1)
    loss = 1 - left / jnp.maximum(union, 1.0)
    growth = jnp.diff(loss, axis=-1, prepend=0.0)
    value = (jnp.maximum(-falling, 0.0) * jax.lax.stop_gradient(growth)).sum(axis=-1)
    return _mean_over_present(value, pixels)


def _flat(logits: jax.Array, label_map: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Probabilities and targets (B, classes, pixels), and which pixels have a class (B, pixels)."""
    batch, classes = len(logits), logits.shape[-1]
    p = jax.nn.softmax(logits.astype(jnp.float32)).reshape(batch, -1, classes)
    label = label_map.reshape(batch, -1)
    t = jax.nn.one_hot(label, classes)  # of a negative label all 0
    return p.swapaxes(1, 2), t.swapaxes(1, 2), label >= 0


def _mean_over_present(values: jax.Array, pixels: jax.Array) -> jax.Array:
    """Mean over the classes that have pixels, of (B, classes)."""
    present = pixels > 0
    return jnp.where(present, values, 0.0).sum(axis=-1) / jnp.maximum(present.sum(axis=-1), 1)
