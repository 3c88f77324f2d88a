"""Does the input matter? The network's result with the weights of its attention replaced."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from chanattn.inspect import replacement, resampling, units
from chanattn.inspect.network import Batch, Batches, Network, Site, modules
from chanattn.inspect.score import Score
from chanattn.inspect.scored import Scored
from chanattn.inspect.varies import Distributions, Moments

ALL = "all"
#: Called after every pass of the network over a batch.
Tick = Callable[[], None]


class Programs:
    """The compiled programs of the probes of one network: one for every intervention, whatever it is.

    Attributes:
        network: As they were given.
        score: As they were given.
        sites: As they were given.
    """

    def __init__(self, network: Network, score: Score, sites: Sequence[Site]) -> None:
        self.network, self.score, self.sites = network, score, tuple(sites)
        self.untouched = jax.jit(self._untouched)
        self.intervened = jax.jit(self._intervened)
        self.mean = jax.jit(
            lambda own, average: {
                site.name: replacement.mean(own[site.name], average[site.name])
                for site in self.sites
            }
        )
        self.one = jax.jit(
            lambda own, average: {
                site.name: replacement.one(own[site.name], average[site.name])
                for site in self.sites
            }
        )
        self.another = jax.jit(
            lambda own, donors: {
                site.name: replacement.another(own[site.name], donors) for site in self.sites
            }
        )
        self.permuted = jax.jit(
            lambda own, order: {
                site.name: replacement.permuted(site, own[site.name], order[site.name])
                for site in self.sites
            }
        )
        self.class_mean = jax.jit(self._class_mean)
        self.answered = jax.jit(self._answered)
        self.left = jax.jit(
            lambda own: {name: jnp.full_like(each, jnp.nan) for name, each in own.items()}
        )

    def choose(
        self, left: Mapping[str, jax.Array], made: Mapping[str, jax.Array], names: set[str]
    ) -> dict[str, jax.Array]:
        """What is made at some sites, and what leaves the network alone at the others."""
        return {name: made[name] if name in names else left[name] for name in left}

    def _untouched(self, variables: Any, batch: Batch) -> tuple[Any, dict[str, jax.Array]]:
        outputs, own = self.network(variables, batch)
        return self.score.measure(outputs, batch), own

    def _intervened(self, variables: Any, batch: Batch, replaced: dict[str, jax.Array]) -> Any:
        outputs, _ = self.network(variables, batch, replaced)
        return self.score.measure(outputs, batch)

    def _answered(self, variables: Any, batch: Batch, replaced: dict[str, jax.Array]) -> Any:
        """The answers on a batch; None where the score is made of sums."""
        if self.score.answers is None:
            return None
        outputs, _ = self.network(variables, batch, replaced)
        return self.score.answers.answer(outputs, batch)

    def _class_mean(self, own: Any, average: Any, by_class: Any, shown: jax.Array) -> Any:
        return {
            site.name: replacement.class_mean(
                site, own[site.name], average[site.name], by_class[site.name], shown
            )
            for site in self.sites
        }


def real_rows(values: Any, mask: np.ndarray) -> Any:
    """The rows of real pictures of a pytree of (B, ...), on the host."""
    there = np.asarray(mask) > 0
    return jax.tree.map(lambda leaf: np.asarray(leaf)[there], values)


def does_it_matter(
    programs: Programs,
    variables: Any,
    batches: Batches,
    moments: Mapping[str, Moments],
    shown: Callable[[Batch], np.ndarray],
    *,
    distributions: Mapping[str, Distributions] | None = None,
    draws: int = 3,
    seed: int = 0,
    resamples: int = 400,
    tick: Tick = lambda: None,
) -> dict[str, Any]:
    """The score of the untouched network, and with weights replaced, one module at a time and all together.

    "All together" puts in what the untouched network computed: weights of a later module are not computed
    again from maps that an earlier replacement has changed. With one module, those after it do compute
    theirs.

    Args:
        programs: Of the network.
        variables: Of it.
        batches: The pictures. Those exchanged are of one batch, so their order should be random.
        moments: Of every site, from a first pass.
        shown: The classes of the pictures of a batch, (B, K) of 0 and 1; K may be 0.
        distributions: Of sites, which are given the untouched weights.
        draws: Of "another" and "permuted".
        seed: Of these and of the resamples.
        resamples: Of the bootstrap over pictures, at least 20 for an interval.
        tick: Called after every pass over a batch.

    Returns:
        `untouched`: values by name, each {"value", "interval"}; and `replaced`, by kind
            (`replacement.KINDS`), then by
        module and "all": the same of {"value", "interval", "difference", "difference_interval"}, with the
        values of every draw. A difference is that to the untouched network, on the same resampled pictures.
        A number that is made of answers has an interval where all modules are replaced, and none for one of
        several.
    """
    groups = {
        name: {site.name for site in sites} for name, sites in modules(programs.sites).items()
    }
    targets = groups if len(groups) == 1 else {**groups, ALL: {s.name for s in programs.sites}}
    average = {name: jnp.asarray(each.mean, jnp.float32) for name, each in moments.items()}
    by_class = {
        name: jnp.asarray(each.class_means(), jnp.float32) for name, each in moments.items()
    }
    classes = next(iter(by_class.values())).shape[0] if by_class else 0
    kinds = [kind for kind in replacement.KINDS if kind != "class_mean" or classes > 1]
    score, together = programs.score, list(targets)[-1]
    untouched = Scored(score)
    found = {
        kind: {
            target: [
                Scored(score, resampled=target == together)
                for _ in range(draws if kind in replacement.DRAWN else 1)
            ]
            for target in targets
        }
        for kind in kinds
    }
    orders = [_orders(programs.sites, seed, draw) for draw in range(draws)]

    for number, batch in enumerate(batches()):
        mask = np.asarray(batch["mask"])
        drawn = resampling.poisson_weights(seed, np.asarray(batch["index"])[mask > 0], resamples)
        measured, own = programs.untouched(variables, batch)
        left = programs.left(own)
        answers = programs.answered(variables, batch, left)
        untouched.add(real_rows(measured, mask), real_rows(answers, mask), drawn)
        tick()
        for name, each in (distributions or {}).items():
            each.add(np.asarray(_units(programs.sites, name, own)), mask, shown(batch))
        made: dict[str, list[Any]] = {
            "mean": [programs.mean(own, average)],
            "one": [programs.one(own, average)],
            "permuted": [programs.permuted(own, order) for order in orders],
            "another": [
                programs.another(
                    own, replacement.donors(np.random.default_rng((seed, 1, number, draw)), mask)
                )
                for draw in range(draws)
            ],
        }
        if "class_mean" in kinds:
            made["class_mean"] = [
                programs.class_mean(own, average, by_class, jnp.asarray(shown(batch), jnp.float32))
            ]
        for kind in kinds:
            for target, names in targets.items():
                for scored, weights in zip(found[kind][target], made[kind], strict=True):
                    replaced = programs.choose(left, weights, names)
                    measured = programs.intervened(variables, batch, replaced)
                    answers = programs.answered(variables, batch, replaced)
                    scored.add(real_rows(measured, mask), real_rows(answers, mask), drawn)
                    tick()
    values = untouched.values()
    return {
        "untouched": {name: _shown(each) for name, each in values.items()},
        "replaced": {
            kind: {
                target: compared(values, [each.values() for each in scored])
                for target, scored in by_target.items()
            }
            for kind, by_target in found.items()
        },
    }


def compared(
    untouched: Mapping[str, np.ndarray], draws: Sequence[Mapping[str, np.ndarray]]
) -> dict[str, Any]:
    """Values of an intervention beside those of the untouched network, and their paired difference.

    Args:
        untouched: (1 + R,) by name, as `Sums.values` gives them.
        draws: The same of every draw, whose mean is taken.
    """
    found = {}
    for name, before in untouched.items():
        each = np.stack([draw[name] for draw in draws])
        after = each.mean(axis=0)
        difference = after - before
        found[name] = _shown(after) | {
            "difference": finite(difference[0]),
            "difference_interval": resampling.interval(difference[1:]),
        }
        if len(draws) > 1:
            found[name]["draws"] = [finite(value) for value in each[:, 0]]
    return found


def finite(value: float) -> float | None:
    """A number that JSON has."""
    return float(value) if np.isfinite(value) else None


def _shown(values: np.ndarray) -> dict[str, Any]:
    return {"value": finite(values[0]), "interval": resampling.interval(values[1:])}


def _units(sites: Sequence[Site], name: str, own: Mapping[str, jax.Array]) -> jax.Array:
    site = next(site for site in sites if site.name == name)
    return units.of(site, own[name])


def _orders(sites: Sequence[Site], seed: int, draw: int) -> dict[str, np.ndarray]:
    return {
        site.name: np.random.default_rng((seed, 2, draw, place)).permutation(
            replacement.permutation_length(site)
        )
        for place, site in enumerate(sites)
    }
