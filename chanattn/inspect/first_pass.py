"""The first pass over the data: moments of the weights, the strongest pictures, means by word."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from chanattn.inspect import units
from chanattn.inspect.matters import Programs
from chanattn.inspect.network import Batch, Batches, Site
from chanattn.inspect.sees import Strongest
from chanattn.inspect.varies import Classes, Moments, seen
from chanattn.inspect.words import WordMeans, Words


@dataclass
class Passed:
    """What the first pass has found."""

    moments: dict[str, Moments]
    strongest: dict[str, Strongest]
    responses: dict[str, Strongest]
    words: dict[str, WordMeans]
    pictures: int = 0
    batches: int = 0


def first_pass(
    programs: Programs,
    variables: Any,
    batches: Batches,
    classes: Classes,
    shown: Callable[[Batch], np.ndarray],
    strongest: int,
    words: Words | None,
    tick: Callable[[], None],
) -> Passed:
    """Looks at every picture once.

    Args:
        programs: Of the network.
        variables: Of it.
        batches: The pictures.
        classes: That they show.
        shown: The classes of a batch, (B, K) of 0 and 1.
        strongest: How many pictures of each unit are kept.
        words: Of captions; None: there are none.
        tick: Called after every batch.
    """
    sites = programs.sites
    owners = {site.module for site in sites}

    @jax.jit
    def look(variables: Any, batch: Batch) -> Any:
        _, own, maps = programs.network.maps(variables, batch)
        weights = {site.name: seen(site, own[site.name], batch["mask"]) for site in sites}
        means = {
            name: each.astype(jnp.float32).mean(axis=(1, 2))
            for name, each in maps.items()
            if name in owners
        }
        return weights, means, {site.name: own[site.name] for site in by_word}

    passed = Passed(
        {site.name: Moments(site, len(classes.names)) for site in sites},
        {site.name: Strongest(units.count(site), strongest) for site in sites},
        {},
        {},
    )
    by_word: tuple[Site, ...] = ()
    if words is not None:
        length = words.of(next(iter(batches()))).shape[1]
        by_word = tuple(site for site in sites if words.follow(site, length))
        passed.words = {site.name: WordMeans(site, len(words.names)) for site in by_word}
    for batch in batches():
        weights, means, before_words = jax.device_get(look(variables, batch))
        mask = np.asarray(batch["mask"])
        index = np.asarray(batch["index"])[mask > 0]
        labels = shown(batch)
        for name, each in weights.items():
            passed.moments[name].add(each, mask, labels)
            passed.strongest[name].add(each["units"][mask > 0], index)
        for name, values in means.items():
            empty = Strongest(values.shape[1], strongest)
            passed.responses.setdefault(name, empty).add(values[mask > 0], index)
        for name, each in before_words.items():
            assert words is not None
            passed.words[name].add(each, words.of(batch), mask)
        passed.pictures += int((mask > 0).sum())
        passed.batches += 1
        tick()
    return passed
