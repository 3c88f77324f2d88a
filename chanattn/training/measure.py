"""The metrics of some weights on a whole split."""

from collections.abc import Callable

import jax
from jax.sharding import Mesh

from chanattn.data import EvaluationData
from chanattn.data.placement import replicated
from chanattn.tasks import Task
from chanattn.training.state import Totals, Weights
from chanattn.training.step import EvalStep


def measure(
    eval_step: EvalStep,
    weights: Weights,
    task: Task,
    data: EvaluationData,
    mesh: Mesh,
    told_to_stop: Callable[[], bool] = lambda: False,
) -> dict[str, float] | None:
    """Every metric of the task over all examples, each counted once; None if it was told to stop before.

    Args:
        eval_step: from `make_eval_step`.
        weights: {"params", "batch_stats"}, raw or averaged.
        task: names the metrics.
        data: `data.evaluation(...)`.
        mesh: the devices of the run.
        told_to_stop: asked before every batch.

    Raises:
        RuntimeError: the data pipeline delivered more or fewer examples than it has.
    """
    totals = jax.device_put(Totals.zero(task.metric_names), replicated(mesh))
    for feed in data.feeds():
        if told_to_stop():
            return None
        totals = eval_step(weights, feed, totals)
    counted, readable = int(totals.exact()["loss"][1]), data.num_examples - data.num_corrupt
    if counted != readable:
        raise RuntimeError(
            f"evaluated {counted} of {readable} examples: the data pipeline loses or repeats some"
        )
    return totals.means()
