"""What of a network is trained, and how fast: frozen parts, and learning rates by layer.

optimizer.freeze       parts, or patterns of names, that keep their values
optimizer.layer_decay  d: a layer learns d times as fast as the one behind it; as in BEiT
                       (https://arxiv.org/abs/2106.08254) and `timm.optim.param_groups_layer_decay`
optimizer.new_factor   on top of that, for what `model.init` did not load
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import jax
from flax.traverse_util import flatten_dict, unflatten_dict

from chanattn.errors import UsageError, did_you_mean
from chanattn.models import parts
from chanattn.training.state import number_of_values

PyTree = Any
_BACKBONE = "backbone"


def frozen(params: Mapping[str, Any], freeze: Sequence[str]) -> PyTree:
    """Which parameters are not trained.

    Args:
        params: of a network, nested dicts.
        freeze: `optimizer.freeze`; "stem,stage1" are two words. A word is a part of the network
            (`chanattn.models.parts.part`), or "backbone" for all but the head. Anything else is a pattern of
            `fnmatch` for the path of a parameter, or of a module with all that is in it. With "!" in front,
            what it means is trained again; the last one that means a parameter decides.

    Returns:
        A tree of bools like `params`.
    """
    words = _words(freeze)

    def is_frozen(path: tuple[jax.tree_util.DictKey, ...], _: Any) -> bool:
        names = [str(entry.key) for entry in path]
        decided = [word for word in words if _means(word.removeprefix("!"), names)]
        return bool(decided) and not decided[-1].startswith("!")

    return jax.tree_util.tree_map_with_path(is_frozen, params)


def check_freeze(params: Mapping[str, Any], freeze: Sequence[str]) -> None:
    """Refuses what would freeze nothing, or everything.

    Raises:
        UsageError: a word or pattern means no parameter, or none is left to be trained.
    """
    paths = list(flatten_dict(dict(params)))
    known = [*sorted({parts.part(path[0]) for path in paths}, key=parts.order), _BACKBONE]
    modules = sorted({"/".join(path[:n]) for path in paths for n in range(1, len(path) + 1)})
    for word in _words(freeze):
        bare = word.removeprefix("!")
        if not any(_means(bare, path) for path in paths):
            raise UsageError(
                f"optimizer.freeze: {bare!r} is no part of this network ({', '.join(known)}), and no"
                f" parameter or module is called like that.{did_you_mean(bare, [*known, *modules])}"
            )
    if freeze and all(jax.tree.leaves(frozen(params, freeze))):
        raise UsageError(
            f"optimizer.freeze={tuple(freeze)} leaves nothing to be trained; evaluate such a network with"
            " eval.py, or leave a part out"
        )


def keep(frozen: PyTree, old: PyTree, new: PyTree) -> PyTree:
    """The old leaves where `frozen` says so, else the new ones."""
    return jax.tree.map(lambda still, a, b: a if still else b, frozen, old, new)


def frozen_weights(weights: Mapping[str, Any], freeze: Sequence[str]) -> dict[str, PyTree]:
    """What of {"params", "batch_stats"} stays as it is: bools in their place.

    The state of a module (running statistics, a gate's temperature) stays if the module has no parameter to
    be trained; where it has none at all, the modules around it decide.
    """
    params = frozen(weights["params"], freeze)
    flat = flatten_dict(params)

    def stays(path: tuple[jax.tree_util.DictKey, ...], _: Any) -> bool:
        names = tuple(entry.key for entry in path[:-1])
        while names:
            inside = [still for each, still in flat.items() if each[: len(names)] == names]
            if inside:
                return all(inside)
            names = names[:-1]
        return False

    state = jax.tree_util.tree_map_with_path(stays, weights["batch_stats"])
    return {"params": params, "batch_stats": state}


def frozen_norms(state: PyTree) -> PyTree:
    """The collection by which norms know that they are frozen (`chanattn.layers.norm.FROZEN`).

    Args:
        state: what stays of the `batch_stats`.
    """
    flat = flatten_dict(state)
    return unflatten_dict(
        {path: True for path, still in flat.items() if still and path[-1] == "mean"}
    )


def rate_factors(
    params: Mapping[str, Any], layer_decay: float, new: Collection[str], new_factor: float
) -> PyTree:
    """What the learning rate of every parameter is multiplied by.

    With L layers behind the stem's, the head the last one of them, a parameter of layer l has
    `layer_decay ** (L - l)`, and `new_factor` times that if it is new.

    Args:
        params: of a network.
        layer_decay: `optimizer.layer_decay`.
        new: paths ("classifier/kernel") of what `model.init` did not load.
        new_factor: `optimizer.new_factor`.

    Returns:
        A tree of numbers like `params`.
    """
    depth = parts.layers(params)
    last = parts.number_of_layers(params)

    def factor(path: tuple[jax.tree_util.DictKey, ...], _: Any) -> float:
        names = [str(entry.key) for entry in path]
        rate = layer_decay ** (last - depth[names[0]])
        return rate * (new_factor if "/".join(names) in new else 1.0)

    return jax.tree_util.tree_map_with_path(factor, params)


def lines(params: Mapping[str, Any], optimizer: Any, new: Collection[str]) -> Iterator[str]:
    """What a run prints of it: how much is trained, and the learning rates; nothing by default.

    Args:
        params: of the network.
        optimizer: that section of the config.
        new: as of `rate_factors`.
    """
    if optimizer.freeze:
        total, trained = number_of_values(params), trainable(params, optimizer.freeze)
        listed = ", ".join(_words(optimizer.freeze))
        yield f"  trained      {trained:>12,} {trained / total:>6.1%}, frozen: {listed}"
    if optimizer.layer_decay == optimizer.new_factor == 1:
        return
    factors = rate_factors(params, optimizer.layer_decay, new, optimizer.new_factor)
    still = flatten_dict(frozen(params, optimizer.freeze))
    by_part: dict[str, set[float]] = {}
    for path, factor in flatten_dict(factors).items():
        if not still[path]:
            by_part.setdefault(parts.part(path[0]), set()).add(factor)
    shown = [f"{name} {_range(by_part[name])}" for name in sorted(by_part, key=parts.order)]
    yield f"  learning rate times: {', '.join(shown)}"


def trainable(params: PyTree, freeze: Sequence[str]) -> int:
    """How many parameters are trained."""
    still = frozen(params, freeze)
    return sum(
        leaf.size for leaf, no in zip(*map(jax.tree.leaves, (params, still)), strict=True) if not no
    )


def _words(freeze: Sequence[str]) -> list[str]:
    """Each for itself: a command line makes one text of `stem,stage1`."""
    return [word.strip() for text in freeze for word in text.split(",")]


def _range(factors: Collection[float]) -> str:
    low, high = f"{min(factors):.3g}", f"{max(factors):.3g}"
    return low if low == high else f"{low} to {high}"


def _means(word: str, path: Sequence[str]) -> bool:
    own = parts.part(path[0])
    if word == own or (word == _BACKBONE and own != parts.HEAD):
        return True
    return any(fnmatchcase("/".join(path[:n]), word) for n in range(1, len(path) + 1))
