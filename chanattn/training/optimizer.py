"""Optimizers, built from optax, that make PyTorch's steps: clip, then decay, then momentum, then the rate."""

from typing import Any

import jax
import optax
from ml_collections import ConfigDict

from chanattn import attention as mechanisms
from chanattn.training.schedule import Schedule

PyTree = Any


def make_optimizer(config: ConfigDict, schedule: Schedule) -> optax.GradientTransformation:
    """The optimizer of a config's `optimizer` section.

    * sgd: weight decay is added to the gradient before the (Nesterov) momentum, as in `torch.optim.SGD`.
    * adamw: decoupled weight decay, https://arxiv.org/abs/1711.05101, as in `torch.optim.AdamW`.
    * lamb: adamw with a trust ratio a parameter, https://arxiv.org/abs/1904.00962.

    With `clip_norm`, gradients are first multiplied by `min(1, clip_norm / norm)`, norm being that of all of
    them together.

    Args:
        config: the whole config, validated.
        schedule: learning rate by step.
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
    return optax.chain(optax.clip_by_global_norm(o.clip_norm), method) if o.clip_norm else method


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
