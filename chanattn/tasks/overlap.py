"""Losses of how label maps overlap, which weigh small classes like large ones: Dice and Lovász-softmax.

Both are a mean over the classes that a picture contains, for each picture: so they add up over pictures, and
over the parts of a batch. Pixels without a class count nowhere. (optax's `dice_loss` sums over all pixels.)
"""

import jax
import jax.numpy as jnp


def dice(logits: jax.Array, label_map: jax.Array) -> jax.Array:
    """The mean over the classes of a picture of `1 - 2 sum(p t) / (sum(p) + sum(t))`: (B,) float32.

    p is the softmax of the logits, t is 1 where a pixel is of the class, else 0. Milletari et al., V-Net, 3DV
    2016, arXiv:1606.04797, section 3, without its squares, as in segmentation_models_pytorch, without a
    constant to smooth: a class that is there has a pixel.

    Args:
        logits: (B, H, W, classes).
        label_map: (B, H, W); negative: no class.

    Returns:
        0 for a picture without any class.
    """
    p, t = _shares(logits, label_map)
    both, own = (p * t).sum(axis=1), t.sum(axis=1)
    return _mean_of_present(1 - 2 * both / (p.sum(axis=1) + jnp.maximum(own, 1)), own)


def lovasz_softmax(logits: jax.Array, label_map: jax.Array) -> jax.Array:
    """The mean over the classes of a picture of the Lovász extension of 1 - IoU: (B,) float32.

    `sum_i m_i g_i` over the errors m = |t - p| of a class in descending order, g_i being by how much 1 - IoU
    grows when the i-th of these pixels is wrong too. Berman, Triki, Blaschko, CVPR 2018, arXiv:1705.08790,
    equations 8, 9, 11 and 12, with the authors' `classes="present"` and `per_image=True`.

    Args:
        logits: (B, H, W, classes).
        label_map: (B, H, W); negative: no class.

    Returns:
        0 for a picture without any class.
    """
    p, t = _shares(logits, label_map)
    error = jnp.where(t > 0, 1 - p, p)
    valid = (label_map >= 0).reshape(len(label_map), -1, 1)
    # Pixels without a class come last, behind those without an error, which may decide a gradient.
    key = jax.lax.stop_gradient(jnp.where(valid, -error, 1.0))
    # Along the last axis sorting is several times faster.
    order = jnp.argsort(key.swapaxes(1, 2), axis=-1)
    error, t = (jnp.take_along_axis(x.swapaxes(1, 2), order, axis=-1) for x in (error, t))
    own = t.sum(axis=-1)
    wrong = t.cumsum(axis=-1)
    intersection = own[..., None] - wrong
    union = own[..., None] + jnp.arange(1, t.shape[-1] + 1) - wrong
    # The differences of intersection / union, which as such would lose digits on large pictures.
    growth = jnp.where(t > 0, 1 / union, intersection / (union * jnp.maximum(union - 1, 1)))
    return _mean_of_present((error * growth).sum(axis=-1), own)


def _shares(logits: jax.Array, label_map: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Of each class in each pixel, predicted and true: two of (B, H * W, classes), 0 where there is none."""
    examples, height, width, classes = logits.shape
    label = label_map.reshape(examples, height * width)
    p = jax.nn.softmax(logits.astype(jnp.float32)).reshape(*label.shape, classes)
    p = jnp.where(label[..., None] >= 0, p, 0.0)
    return p, jax.nn.one_hot(label, classes)  # a negative number is nowhere 1


def _mean_of_present(losses: jax.Array, pixels: jax.Array) -> jax.Array:
    """The mean over the classes with pixels; both are (B, classes)."""
    there = pixels > 0
    return jnp.where(there, losses, 0.0).sum(axis=1) / jnp.maximum(there.sum(axis=1), 1)
