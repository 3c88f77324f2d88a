"""Pictures one by one: what the network says of each, and what it says with other weights."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from chanattn.inspect import replacement, sees, units
from chanattn.inspect.matters import Programs
from chanattn.inspect.network import Batch, Site, modules
from chanattn.inspect.varies import Moments

_MOST_WEIGHTS = 256


def single_pictures(
    programs: Programs,
    variables: Any,
    batch: Batch,
    moments: Mapping[str, Moments],
    probabilities: Callable[[Any], jax.Array] | None,
    pictures: int,
    seed: int,
) -> list[dict[str, Any]]:
    """The first pictures of a batch: what is predicted, with which weights, and with others; and maps.

    Args:
        programs: Of the network.
        variables: Of it.
        batch: The batch.
        moments: Of every site.
        probabilities: Outputs -> (B, K); None: nothing is predicted.
        pictures: How many.
        seed: Of whose weights a picture is given.

    Returns:
        JSON values of each: `index`, `label`, `another`, the picture whose weights it is given; `answers`, by
            what the
        weights are replaced by, the best five [class, probability]; `weights`, by site; `maps`, by module.
    """
    mask = np.asarray(batch["mask"])
    rows = np.flatnonzero(mask > 0)[:pictures]
    average = {name: jnp.asarray(each.mean, jnp.float32) for name, each in moments.items()}

    @jax.jit
    def look(variables: Any, batch: Batch, replaced: Any) -> Any:
        outputs, _ = programs.network(variables, batch, replaced)
        return probabilities(outputs) if probabilities is not None else jnp.zeros((len(mask), 0))

    own, maps = jax.device_get(jax.jit(programs.network.maps)(variables, batch)[1:])
    left = programs.left(own)
    donors = replacement.donors(np.random.default_rng(seed), mask)
    made = {
        "untouched": left,
        "mean": programs.mean(own, average),
        "another": programs.another(own, donors),
        "one": programs.one(own, average),
    }
    answers = {k: jax.device_get(look(variables, batch, w)) for k, w in made.items()}
    told = []
    for row in rows:
        weights = {
            site.name: np.asarray(units.of(site, jnp.asarray(own[site.name][row : row + 1])))[0]
            for site in programs.sites
        }
        told.append(
            {
                "index": int(batch["index"][row]),
                "label": int(batch["label"][row]) if "label" in batch else None,
                "another": int(batch["index"][donors[row]]),
                "answers": {kind: _best(each[row]) for kind, each in answers.items()},
                "weights": {
                    name: np.round(each[:_MOST_WEIGHTS], 4).tolist()
                    for name, each in weights.items()
                },
                "maps": _maps(programs.sites, maps, row),
            }
        )
    return told


def _best(p: np.ndarray, most: int = 5) -> list[list[float]]:
    return [[int(k), float(p[k])] for k in np.argsort(-p, kind="stable")[:most]]


def _maps(sites: Sequence[Site], maps: Any, row: int, most: int = 3) -> dict[str, Any]:
    """Of each module the maps of the channels that vary most over the picture."""
    found = {}
    for name in modules(sites):
        if name not in maps:
            continue
        values = np.asarray(maps[name][row], np.float32)
        best = np.argsort(-values.std(axis=(0, 1)), kind="stable")[:most]
        found[name] = [
            {"unit": int(c), "map": np.round(sees.small_map(values[..., c]), 3).tolist()}
            for c in best
        ]
    return found
