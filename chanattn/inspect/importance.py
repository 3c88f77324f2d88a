"""Do weights rank importance? Channels taken away one by one, and all but a few."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from chanattn.inspect import resampling, units
from chanattn.inspect.matters import Programs, Tick, compared, finite, real_rows
from chanattn.inspect.network import POSITIONS, Batches, Site, modules
from chanattn.inspect.resampling import Sums
from chanattn.inspect.varies import Moments

#: Which units the curve keeps: those with the largest weights of each picture, as many drawn, the smallest.
KEPT = ("strongest", "random", "weakest")


def ranked_sites(sites: Sequence[Site]) -> dict[str, tuple[Site, ...]]:
    """Of each module the sites whose units are channels, the same ones; modules without are left out.

    Of strips both are taken, so that a channel loses its rows and its columns.
    """
    found = {}
    for name, own in modules(sites).items():
        ranked = [site for site in own if site.kind != POSITIONS]
        if ranked:
            first = ranked[0]
            alike = (s for s in ranked if s.kind == first.kind)
            found[name] = tuple(s for s in alike if units.count(s) == units.count(first))
    return found


def numbers_kept(width: int) -> list[int]:
    """1, 2, 4, ... and all: how many units the curve keeps."""
    return sorted({1 << power for power in range(width.bit_length())} | {width})


class _Placing:
    """Makes the weights that leave a network alone but for some units of some sites; compiled once a site."""

    def __init__(self, sites: Sequence[Site]) -> None:
        self._placed = {site.name: jax.jit(self._function(site)) for site in sites}

    def __call__(self, name: str, own: jax.Array, where: Any, value: Any) -> jax.Array:
        """`value` (...,) at the units where `where` (N, U) or (1, U) is true, NaN elsewhere."""
        return self._placed[name](own, where, value)

    @staticmethod
    def _function(site: Site) -> Any:
        def placed(own: jax.Array, where: jax.Array, value: jax.Array) -> jax.Array:
            there = jnp.broadcast_to(units.spread(site, where), own.shape)
            return jnp.where(there, value.astype(own.dtype), jnp.nan)

        return placed


def knock_out(
    programs: Programs,
    variables: Any,
    batches: Batches,
    moments: Mapping[str, Moments],
    *,
    most_batches: int | None = None,
    most_units: int = 64,
    seed: int = 0,
    resamples: int = 200,
    tick: Tick = lambda: None,
) -> dict[str, Any]:
    """The loss without each channel, and how its rank correlates with the mean weight.

    A unit is taken away by the weight 0, and ablated by its mean weight over the pictures, which leaves what
    does not depend on the picture. What weight 0 means is the mechanism's: with a residual form, x (1 + w),
    it leaves x.

    Args:
        programs: Of the network.
        variables: Of it.
        batches: The pictures.
        moments: Of every site.
        most_batches: Only so many of them; None: all.
        most_units: Of every module only so many, at equal distances.
        seed: Of the resamples.
        resamples: Of the bootstrap over pictures.
        tick: As in `does_it_matter`.

    Returns:
        By module: `units`, their numbers; `mean_weight` of each; `knocked_out` and `ablated`, each with
            `loss_increase` of
        every unit and its `intervals`, and `rank_correlation` of that with the mean weight: `value`;
            `interval` over
        units (`resampling.rank_correlation_interval`); `interval_of_pictures`, by resampling these.
    """
    ranked = ranked_sites(programs.sites)
    placing = _Placing([site for sites in ranked.values() for site in sites])
    looked_at = {
        name: np.unique(np.linspace(0, units.count(s[0]) - 1, most_units).astype(int))
        for name, s in ranked.items()
    }
    before = Sums()
    after = {
        (name, ablated, int(unit)): Sums()
        for name in ranked
        for ablated in (False, True)
        for unit in looked_at[name]
    }
    for batch in islice(batches(), most_batches):
        mask = np.asarray(batch["mask"])
        drawn = resampling.poisson_weights(seed, np.asarray(batch["index"])[mask > 0], resamples)
        measured, own = programs.untouched(variables, batch)
        before.add(real_rows(measured, mask), drawn)
        left = programs.left(own)
        for (name, ablated, unit), sums in after.items():
            where = np.arange(units.count(ranked[name][0]))[None] == unit
            made = {
                site.name: placing(
                    site.name,
                    own[site.name],
                    where,
                    np.asarray(moments[site.name].mean if ablated else 0.0, np.float32),
                )
                for site in ranked[name]
            }
            replaced = programs.choose(left, made, set(made))
            sums.add(real_rows(programs.intervened(variables, batch, replaced), mask), drawn)
            tick()
    base = before.values(programs.score.values)["loss"]
    found: dict[str, Any] = {}
    for name, sites in ranked.items():
        weight = moments[sites[0].name].unit_mean[looked_at[name]]
        found[name] = {
            "site": sites[0].name,
            "units": looked_at[name].tolist(),
            "mean_weight": weight.tolist(),
            "pictures": before.pictures,
        }
        for key, ablated in (("knocked_out", False), ("ablated", True)):
            losses = np.stack(
                [
                    after[name, ablated, int(unit)].values(programs.score.values)["loss"]
                    for unit in looked_at[name]
                ]
            )
            found[name][key] = _ranking(weight, losses - base)
    return found


def _ranking(weight: np.ndarray, increase: np.ndarray) -> dict[str, Any]:
    """Of mean weights (U,) and the loss that is gained, (U, 1 + R)."""
    rho = [resampling.rank_correlation(weight, column) for column in increase.T]
    return {
        "loss_increase": [finite(value) for value in increase[:, 0]],
        "intervals": [resampling.interval(row[1:]) for row in increase],
        "rank_correlation": {
            "value": finite(rho[0]),
            "interval": resampling.rank_correlation_interval(rho[0], len(weight)),
            "interval_of_pictures": resampling.interval(np.array(rho[1:])),
        },
    }


def soft_to_hard(
    programs: Programs,
    variables: Any,
    batches: Batches,
    *,
    most_batches: int | None = None,
    seed: int = 0,
    resamples: int = 200,
    tick: Tick = lambda: None,
) -> dict[str, Any]:
    """The score with k units kept as they are and the others at weight 0, for k = 1, 2, 4, ... to all.

    Args:
        programs: Of the network.
        variables: Of it.
        batches: The pictures.
        most_batches: As in `knock_out`.
        seed: Of the units that are drawn, for every picture anew, and of the resamples.
        resamples: Of the bootstrap over pictures.
        tick: As in `does_it_matter`.

    Returns:
        By module: `kept`, the k; and by each of `KEPT` a list with what `compared` gives at every k.
    """
    ranked = ranked_sites(programs.sites)
    placing = _Placing([site for sites in ranked.values() for site in sites])
    widths = {name: units.count(sites[0]) for name, sites in ranked.items()}
    before = Sums()
    after = {
        (name, kept, k): Sums()
        for name in ranked
        for kept in KEPT
        for k in numbers_kept(widths[name])
    }
    zero = np.float32(0)
    for number, batch in enumerate(islice(batches(), most_batches)):
        mask = np.asarray(batch["mask"])
        drawn = resampling.poisson_weights(seed, np.asarray(batch["index"])[mask > 0], resamples)
        measured, own = programs.untouched(variables, batch)
        before.add(real_rows(measured, mask), drawn)
        left = programs.left(own)
        places = {name: _places(ranked[name][0], own, (seed, 3, number)) for name in ranked}
        for (name, kept, k), sums in after.items():
            dropped = places[name][kept] >= k
            made = {s.name: placing(s.name, own[s.name], dropped, zero) for s in ranked[name]}
            replaced = programs.choose(left, made, set(made))
            sums.add(real_rows(programs.intervened(variables, batch, replaced), mask), drawn)
            tick()
    base = before.values(programs.score.values)
    return {
        name: {
            "kept": numbers_kept(widths[name]),
            **{
                kept: [
                    compared(base, [after[name, kept, k].values(programs.score.values)])
                    for k in numbers_kept(widths[name])
                ]
                for kept in KEPT
            },
        }
        for name in ranked
    }


def _places(
    site: Site, own: Mapping[str, jax.Array], seed: tuple[int, ...]
) -> dict[str, np.ndarray]:
    """The place of every unit of every picture in each order, from 0: (N, U)."""
    values = np.asarray(units.of(site, own[site.name]))
    order = np.argsort(-values, axis=1, kind="stable")
    strongest = np.argsort(order, axis=1)
    rng = np.random.default_rng(seed)
    return {
        "strongest": strongest,
        "weakest": values.shape[1] - 1 - strongest,
        "random": np.argsort(rng.random(values.shape), axis=1),
    }


def passes(sites: Sequence[Site], most_units: int) -> int:
    """How often the network is asked about a batch by both probes."""
    ranked = [units.count(of_module[0]) for of_module in ranked_sites(sites).values()]
    out = sum(2 * min(width, most_units) for width in ranked)
    return out + sum(len(KEPT) * len(numbers_kept(width)) for width in ranked)
