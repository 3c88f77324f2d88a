"""The metrics of some weights on a whole split."""

import jax
from jax.sharding import Mesh

from chanattn.data import EvaluationData
from chanattn.tasks import Task
from chanattn.training.mesh import replicated
from chanattn.training.state import Totals, Weights
from chanattn.training.step import EvalStep


def measure(
    eval_step: EvalStep, weights: Weights, task: Task, data: EvaluationData, mesh: Mesh
) -> dict[str, float]:
    """Every metric of the task over all examples, each counted once.

    Args:
        eval_step: from `make_eval_step`.
        weights: {"params", "batch_stats"}, raw or averaged.
        task: names the metrics.
        data: `data.evaluation(...)`.
        mesh: the devices of the run.

    Raises:
        RuntimeError: the data pipeline delivered more or fewer examples than it has.
    """
    totals = jax.device_put(Totals.zero(task.metric_names), replicated(mesh))
    for feed in data.feeds():
        totals = eval_step(weights, feed, totals)
    counted, readable = int(totals.exact()["loss"][1]), data.num_examples - data.num_corrupt
    if counted != readable:
        raise RuntimeError(
            f"evaluated {counted} of {readable} examples: the data pipeline loses or repeats some"
        )
    return totals.means()
