"""Networks whose answer is known, and pictures for them."""

from collections.abc import Iterator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from chanattn import attention, inspect


class Tiny(nn.Module):
    """A mechanism, the mean over positions, and a linear classifier."""

    mechanism: str = "eca"
    options: tuple[tuple[str, Any], ...] = ()
    classes: int = 3

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> tuple[jax.Array, dict[str, Any]]:
        more = {"filters": 8} if attention.describe(self.mechanism).slot == "conv" else {}
        module = attention.create(self.mechanism, **dict(self.options), **more, name="attention")
        y = module(x, train=train)
        return nn.Dense(self.classes, name="classifier")(y.mean(axis=(1, 2))), {}


def batches_of(images: np.ndarray, labels: np.ndarray, size: int) -> inspect.Batches:
    """Batches of pictures in their order, the last one padded with what must not count."""

    def batches() -> Iterator[dict[str, Any]]:
        for start in range(0, len(images), size):
            rows = np.arange(start, min(start + size, len(images)))
            pad = size - len(rows)
            yield {
                "image": np.concatenate(
                    [images[rows], np.full((pad, *images.shape[1:]), 1e3)]
                ).astype(np.float32),
                "label": np.concatenate([labels[rows], np.zeros(pad, int)]),
                "index": np.concatenate([rows, np.zeros(pad, int)]),
                "mask": np.concatenate([np.ones(len(rows)), np.zeros(pad)]).astype(np.float32),
            }

    return batches


def noise(
    pictures: int, channels: int, classes: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (N, 2, 2, C) and labels: a class adds 1 to every channel c with c mod K the class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, pictures)
    told = (np.arange(channels) % classes == labels[:, None]).astype(float)
    return rng.normal(size=(pictures, 2, 2, channels)) * 0.7 + told[:, None, None], labels


def reader(channels: int, classes: int, strength: np.ndarray) -> dict[str, Any]:
    """A classifier that reads channel c for the class c mod K, as strongly as is told."""
    kernel = (np.arange(channels)[:, None] % classes == np.arange(classes)) * strength[:, None]
    return {"kernel": jnp.asarray(kernel, jnp.float32), "bias": jnp.zeros(classes)}


def measured(
    model: Tiny,
    variables: Any,
    images: np.ndarray,
    labels: np.ndarray,
    size: int = 16,
    **more: Any,
) -> tuple[inspect.Programs, inspect.Batches, dict[str, inspect.Moments]]:
    """The programs, the batches, and the moments of a first pass."""
    batches = batches_of(images, labels, size)
    network = inspect.Network(model)
    sites = network.sites(variables, next(iter(batches())))
    programs = inspect.Programs(network, inspect.ACCURACY, sites)
    moments = {site.name: inspect.Moments(site, model.classes) for site in sites}
    shown = inspect.labels_of(model.classes)
    look = jax.jit(
        lambda batch: {
            site.name: inspect.seen(site, network(variables, batch)[1][site.name], batch["mask"])
            for site in sites
        }
    )
    for batch in batches():
        for name, each in look(batch).items():
            moments[name].add(jax.device_get(each), batch["mask"], shown(batch))
    return programs, batches, moments
