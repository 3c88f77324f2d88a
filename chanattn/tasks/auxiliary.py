"""Losses beside the task's own, which mechanisms inside the network ask for.

Modules sow them while they run: a ready penalty in the collection `losses` (the rate of hard gates), or
logits of what the picture contains in `presence` (EncNet), of which only the task can make a loss.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from chanattn import attention
from chanattn.batch import Batch, Pair

COLLECTIONS = ("losses", "presence")
#: The term of a task's loss on the auxiliary outputs of a head (`chanattn.models.heads.WithAuxiliary`).
AUXILIARY = "auxiliary"


def terms(model: Any, task: Any) -> tuple[str, ...]:
    """Names of the terms of the loss that are reported one by one: the task's, and that of the head."""
    active: tuple[str, ...] = task.active_terms()
    return (*active, AUXILIARY) if getattr(model, "has_auxiliary", False) else active


def names(model: Any) -> tuple[str, ...]:
    """Which of them a network has, by its mechanisms."""
    found = {
        loss
        for slot in getattr(model, "mechanisms", ())
        for loss in attention.extra_losses(slot.name, dict(slot.options))
    }
    return tuple(sorted(found))


def collect(sown: Mapping[str, Any], batch: Batch, presence: Any) -> dict[str, Pair]:
    """Every extra loss of a forward pass as (sum over real examples, number of them).

    A penalty is one number for the batch, and counts for each example; those of one name are added up over
    the modules.

    Args:
        sown: Collections that the pass returned.
        batch: The batch.
        presence: `(logits, batch) -> loss of each example (B,)`, for the sown presence logits; None: the task
            has none, and there may be no such logits.
    """
    mask = batch["mask"].astype(jnp.float32)
    total = mask.sum()
    pairs: dict[str, Pair] = {}

    def add(name: str, value: jax.Array) -> None:
        before = pairs.get(name, (jnp.zeros(()), total))[0]
        pairs[name] = (before + value, total)

    for path, value in jax.tree_util.tree_leaves_with_path(sown.get("losses", {})):
        add(str(path[-1].key), value * total)
    for logits in jax.tree.leaves(sown.get("presence", {})):
        assert presence is not None, "`chanattn.tasks.network` refuses such mechanisms"
        add("presence", jnp.where(mask > 0, presence(logits, batch), 0.0).sum())
    return pairs
