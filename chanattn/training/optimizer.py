"""Optimizers, built from optax, that make PyTorch's steps: clip, then decay, then momentum, then the rate."""

from collections.abc import Collection
from typing import Any

import jax
import optax
from ml_collections import ConfigDict

from chanattn import attention as mechanisms
from chanattn.training import finetuning
from chanattn.training.schedule import Schedule

PyTree = Any


def make_optimizer(
    config: ConfigDict, schedule: Schedule, new: Collection[str] = ()
) -> optax.GradientTransformation:
    """The optimizer of a config's `optimizer` section.

    * sgd: weight decay is added to the gradient before the (Nesterov) momentum, as in `torch.optim.SGD`.
    * adamw: decoupled weight decay, https://arxiv.org/abs/1711.05101, as in `torch.optim.AdamW`.
    * lamb: adamw with a trust ratio a parameter, https://arxiv.org/abs/1904.00962.

    With `clip_norm`, gradients are first multiplied by `min(1, clip_norm / norm)`, norm being that of all of
    them together. What `freeze` names is no part of any of this: it has no state, and its update is zero. The
    updates of all else are multiplied at the end as `finetuning.rate_factors` says, decay included, as
    PyTorch's are where groups of parameters have learning rates of their own.

    Args:
        config: the whole config, validated.
        schedule: learning rate by step.
        new: paths of the parameters that `model.init` did not load.
    """
    o = config.optimizer

    def mask(params: PyTree) -> PyTree:
        return decay_mask(params, attention=o.decay_attention)

    if o.name == "sgd":
        method = optax.chain(
            optax.add_decayed_weights(o.weight_decay, mask),
            optax.trace(o.momentum, o.nesterov) if o.momentum else optax.identity(),
            optax.scale_by_learning_rate(schedule),
        )
    else:
        make = {"adamw": optax.adamw, "lamb": optax.lamb}[o.name]
        method = make(
            schedule, b1=o.beta1, b2=o.beta2, eps=o.eps, weight_decay=o.weight_decay, mask=mask
        )
    if o.clip_norm:
        method = optax.chain(optax.clip_by_global_norm(o.clip_norm), method)
    # Without these fields the state of the optimizer has no place for them, as in runs of earlier versions.
    if o.freeze:
        method = optax.partition(
            {"frozen": optax.set_to_zero(), "trained": method},
            lambda params: jax.tree.map(
                lambda still: "frozen" if still else "trained", finetuning.frozen(params, o.freeze)
            ),
        )
    if o.layer_decay != 1 or o.new_factor != 1:
        method = optax.chain(method, _scale_by_layer(o.layer_decay, frozenset(new), o.new_factor))
    return method


def _scale_by_layer(
    layer_decay: float, new: Collection[str], new_factor: float
) -> optax.GradientTransformation:
    def scaled(updates: PyTree, params: PyTree) -> PyTree:
        del params
        factors = finetuning.rate_factors(updates, layer_decay, new, new_factor)
        return jax.tree.map(lambda update, factor: factor * update, updates, factors)

    return optax.stateless(scaled)


def decay_mask(params: PyTree, *, attention: bool = True) -> PyTree:
    """Which parameters decay: by `chanattn.attention.decays`, everywhere.

    Args:
        params: tree of nested dicts.
        attention: whether parameters of attention modules (their names contain "attention") decay too.

    Returns:
        A tree of bools like `params`.
    """

    def decays(path: tuple[jax.tree_util.DictKey, ...], parameter: jax.Array) -> bool:
        names = [entry.key for entry in path]
        inside = any("attention" in name for name in names)
        return mechanisms.decays(names, parameter) and (attention or not inside)

    return jax.tree_util.tree_map_with_path(decays, params)
