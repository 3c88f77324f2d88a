"""All probes of one network, in three passes over the data, as one object of JSON values."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from chanattn.errors import UsageError
from chanattn.inspect import importance, replacement, resampling, sees
from chanattn.inspect.first_pass import Passed, first_pass
from chanattn.inspect.matters import Programs, does_it_matter
from chanattn.inspect.network import Batch, Batches, Network, Site, modules
from chanattn.inspect.score import ACCURACY, Score
from chanattn.inspect.sees import Strongest
from chanattn.inspect.single import single_pictures
from chanattn.inspect.varies import BINS, Classes, Distributions
from chanattn.inspect.words import Words

#: Called with what is done of all passes over batches, and with their number.
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Attributes:
        draws: Of "another" and "permuted".
        resamples: Of the bootstrap over pictures.
        batches: That channels are knocked out on; None: all.
        units: Of each module that are knocked out, and that tables of classes show.
        strongest: Pictures of each channel.
        pictures: That are told one by one.
        seed: Of everything that is drawn.
    """

    draws: int = 3
    resamples: int = 400
    batches: int | None = 8
    units: int = 64
    strongest: int = 4
    pictures: int = 12
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("draws", "resamples", "units", "strongest", "pictures"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be positive, not {getattr(self, name)}")


DEFAULT = Effort()


def labels_of(classes: int) -> Callable[[Batch], np.ndarray]:
    """What `inspection` takes as `shown`, of pictures with one `label` each."""
    return lambda batch: np.eye(classes)[np.asarray(batch["label"])]


def inspection(
    network: Network,
    variables: Any,
    batches: Batches,
    classes: Classes,
    *,
    score: Score = ACCURACY,
    shown: Callable[[Batch], np.ndarray] | None = None,
    probabilities: Callable[[Any], jax.Array] | None = jax.nn.softmax,
    painted: Callable[[np.ndarray], Batch] | None = None,
    words: Words | None = None,
    effort: Effort = DEFAULT,
    progress: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """Asks everything that this package knows to ask.

    Args:
        network: The network.
        variables: Of it.
        batches: The pictures, in random order, because those that exchange weights are of one batch.
        classes: That pictures show; without names what needs classes is left out.
        score: What is compared.
        shown: The classes of a batch, (B, K) of 0 and 1; None: that of `batch["label"]`.
        probabilities: Outputs -> (B, K), for what is told of single pictures; None: there are none.
        painted: Colours (G, 3) in [0, 1] -> a batch of pictures of one colour each, prepared as the others;
            None: no colour tuning.
        words: Of captions, before which decoders have weights; None: there are none.
        effort: How much is measured.
        progress: Told now and then.

    Returns:
        JSON values; see docs/inspection.md.

    Raises:
        UsageError: The network has no weights to look at, or there are no pictures.
    """
    shown = shown or labels_of(len(classes.names))
    first = next(iter(batches()), None)
    if first is None:
        raise UsageError("there are no pictures to look at")
    sites = network.sites(variables, first)
    if not sites:
        raise UsageError(
            "the network has no attention that shows its weights, so there is nothing to inspect"
        )
    programs = Programs(network, score, sites)
    counter = _Counter(progress)

    passed = first_pass(
        programs, variables, batches, classes, shown, effort.strongest, words, counter
    )
    count = passed.batches
    some = count if effort.batches is None else min(effort.batches, count)
    counter.total = count * (2 + _interventions(sites, classes, effort.draws))
    counter.total += some * importance.passes(sites, effort.units)
    distributions = {s.name: Distributions(passed.moments[s.name], classes) for s in sites}
    found = does_it_matter(
        programs,
        variables,
        batches,
        passed.moments,
        shown,
        distributions=distributions,
        draws=effort.draws,
        seed=effort.seed,
        resamples=effort.resamples,
        tick=counter,
    )
    subset: dict[str, Any] = {"most_batches": effort.batches, "seed": effort.seed, "tick": counter}
    ranking = importance.knock_out(
        programs, variables, batches, passed.moments, most_units=effort.units, **subset
    )
    curves = importance.soft_to_hard(programs, variables, batches, **subset)
    tuning = None
    if painted is not None:
        colours = painted(np.concatenate([sees.colours(), sees.greys()]))
        tuning = sees.colour_tuning(network, variables, sites, colours)
    told = []
    for name, own in modules(sites).items():
        told.append(
            {
                "name": name,
                "mechanism": own[0].mechanism,
                "sites": [
                    _site(site, passed, distributions[site.name], classes, words, tuning, effort)
                    for site in own
                ],
                "importance": ranking.get(name),
                "soft_to_hard": curves.get(name),
                "strongest_response": _strongest(passed.responses.get(name), effort),
                "response": _tuned(tuning, "response", name, effort),
            }
        )
    return {
        "pictures": passed.pictures,
        "classes": list(classes.names),
        "classes_are_exclusive": classes.exclusive,
        "score": {
            "name": score.name,
            "label": score.label,
            "unit": score.unit,
            "higher_is_better": score.higher_is_better,
        },
        "drawn": {
            "seed": effort.seed,
            "draws": effort.draws,
            "resamples": effort.resamples,
            "level": resampling.LEVEL,
            "batches_for_importance": some,
            "bins": BINS,
        },
        "kinds": dict(replacement.KINDS),
        "input_matters": found,
        "colours": None if tuning is None else {k: tuning[k] for k in ("hues", "lightnesses")},
        "modules": told,
        "single_pictures": single_pictures(
            programs, variables, first, passed.moments, probabilities, effort.pictures, effort.seed
        ),
    }


class _Counter:
    """Counts passes over batches."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._done, self.total = progress, 0, 0

    def __call__(self) -> None:
        self._done += 1
        self._progress(self._done, self.total)


def _interventions(sites: Sequence[Site], classes: Classes, draws: int) -> int:
    targets = len(modules(sites))
    targets += targets > 1
    kinds = 2 + 2 * draws + (len(classes.names) > 1)
    return targets * kinds


def _evenly(width: int, most: int) -> list[int]:
    return [
        int(unit) for unit in np.unique(np.linspace(0, width - 1, min(width, most)).astype(int))
    ]


def _site(
    site: Site,
    passed: Passed,
    distribution: Distributions,
    classes: Classes,
    words: Words | None,
    tuning: Any,
    effort: Effort,
) -> dict[str, Any]:
    moments = passed.moments[site.name]
    summary = moments.summary(classes)
    width = len(moments.unit_mean)
    if "between_classes" in summary:
        share = np.nan_to_num(moments.between_classes())
        chosen = sorted(int(unit) for unit in np.argsort(-share, kind="stable")[: effort.units])
        between = [float(share[unit]) for unit in chosen]
    else:
        chosen, between = _evenly(width, effort.units), None
    return {
        "name": site.name,
        "path": list(site.path),
        "shape": list(site.shape),
        "kind": site.kind,
        **summary,
        **distribution.summary(),
        "shown_units": {
            "units": chosen,
            "mean": moments.unit_mean[chosen].tolist(),
            "deviation": moments.unit_deviation[chosen].tolist(),
            "between_classes": between,
            "by_class": moments.class_means()[:, chosen].tolist() if classes.names else [],
        },
        "by_word": passed.words[site.name].summary(words.names, chosen)
        if words is not None and site.name in passed.words
        else None,
        "strongest": _strongest(passed.strongest[site.name], effort),
        "weight": _tuned(tuning, "weight", site.name, effort),
    }


def _strongest(found: Strongest | None, effort: Effort) -> list[dict[str, Any]]:
    if found is None:
        return []
    return sees.strongest_to_list(found, _evenly(len(found.values), effort.units))


def _tuned(tuning: Any, key: str, name: str, effort: Effort) -> dict[str, Any] | None:
    """The colour tuning of some units, JSON values."""
    if tuning is None or name not in tuning[key]:
        return None
    grid, grey = tuning[key][name], tuning[key + "_of_grey"][name]
    preferred = sees.preference(grid)
    chosen = _evenly(len(grid), effort.units)
    selectivity = preferred["selectivity"][chosen]
    return {
        "units": chosen,
        "hue": preferred["hue"][chosen].tolist(),
        "selectivity": [float(s) if np.isfinite(s) else None for s in selectivity],
        "values": np.round(grid[chosen], 5).tolist(),
        "grey": np.round(grey[chosen], 5).tolist(),
    }
