"""What weights achieve on a whole split, every example counted once: during a training and after it."""

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from chanattn.data import Batch, EvaluationData
from chanattn.data.captions import written
from chanattn.data.placement import replicated
from chanattn.tasks import Answers, Task
from chanattn.training.parts import InParts, in_parts
from chanattn.training.state import Totals, Weights
from chanattn.training.views import Views, network_of, outputs_on, together

PyTree = Any

RUNNING_AHEAD = 3
"""Batches: dispatch runs ahead of the device, and without a limit all pictures would be in its memory."""


class Evaluator:
    """Passes over a split; programs are compiled once for every type of weights.

    Attributes:
        seconds: What the last pass took: reading, preparing and answering, compilation left out.
        compile_seconds: What the last pass took to compile.
        collected: The answers on every example of the last pass; None if none were asked for.
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        data: EvaluationData,
        mesh: Mesh,
        *,
        answers: bool = False,
        views: Views | None = None,
    ) -> None:
        """Of one split, by one network.

        Args:
            model: called as `apply(variables, image, train=False)`, returns `(outputs, endpoints)`.
            task: what is measured.
            data: `data.evaluation(...)`.
            mesh: devices.
            answers: collect the answers on every example too, though the metrics need none.
            views: of every picture; None: the whole picture.
        """
        self._model, self._task, self._data, self._mesh = model, task, data, mesh
        self._answers = answers or task.measured_from_answers
        self._network, self._views = network_of(model, task), views or Views()
        # Traced once for the shapes and the program.
        self._sums = jax.jit(self._sums_of, inline=True)
        self._programs: dict[Any, Any] = {}
        self._captions: list[tuple[str, ...]] | None = None
        self.seconds = self.compile_seconds = 0.0
        self.collected: Answers | None = None

    def __call__(
        self, weights: Weights, stop_requested: Callable[[], bool] = lambda: False
    ) -> dict[str, Any] | None:
        """`Task.results` of some weights, and `examples`, how many there were; None if it was told to stop.

        Numbers that are not finite are None: there is nothing that could be compared.

        Args:
            weights: {"params", "batch_stats"}, raw or averaged.
            stop_requested: asked before every batch.

        Raises:
            RuntimeError: the data pipeline delivered more or fewer examples than it has.
        """
        start, self.compile_seconds = time.perf_counter(), 0.0
        totals, program = None, None
        answers: list[PyTree] = []
        running: deque[Totals] = deque()
        for feed in self._data.feeds():
            if stop_requested():
                return None
            if program is None:
                compiling = time.perf_counter()
                program, totals = self._program(weights, feed)
                self.compile_seconds = time.perf_counter() - compiling
            totals, answered = program(weights, feed, totals)
            answers.append(answered)
            running.append(totals)
            if len(running) == RUNNING_AHEAD:
                jax.block_until_ready(running.popleft())
        assert totals is not None
        examples, sums = totals.exact()
        self.collected = self._written(_collect(jax.device_get(answers))) if self._answers else None
        self.seconds = time.perf_counter() - start - self.compile_seconds
        readable = self._data.num_examples - self._data.num_corrupt
        if examples != readable:
            raise RuntimeError(
                f"evaluated {examples} of {readable} examples: the data pipeline loses or repeats some"
            )
        results = self._task.results(sums, self.collected, self._data.class_names)
        missing = [metric.name for metric in self._task.metrics if metric.name not in results]
        if missing:
            raise RuntimeError(
                f"{type(self._task).__name__}.results gives no {', '.join(missing)}, which `metrics` names"
            )
        return {"examples": examples, **_plain(results)}

    def _written(self, answers: Answers) -> Answers:
        """Answers, with the captions of the pictures as they are written if the task asks for them."""
        if not self._task.scored_as_written:
            return answers
        if self._captions is None:
            source = self._data.source
            self._captions = [written(source, index) for index in range(len(source))]
        found = np.empty(len(answers["index"]), object)
        for row, index in enumerate(answers["index"].tolist()):
            found[row] = self._captions[
                index
            ]  # by itself: of a list NumPy would make two dimensions
        return {**answers, "written": found}

    def _program(self, weights: Weights, feed: PyTree) -> tuple[Any, Totals]:
        """The compiled program `(weights, feed, totals) -> (totals, answers)`, and totals of no batch."""
        kind = str(jax.tree.map(lambda leaf: leaf.dtype, weights))
        if kind not in self._programs:
            everywhere = replicated(self._mesh)
            cut = None
            if not (self._answers and self._task.answered_by_network):
                batch = jax.eval_shape(self._data.prepare, feed)
                cut = in_parts(self._network, weights, batch["image"], batch)
            if cut is not None or self._views.window is not None:
                self._programs[kind] = self._on_the_host(weights, feed, cut)
            else:
                sums, _ = jax.eval_shape(self._sums, weights, feed)
                zero = Totals.like(sums, everywhere)
                step = jax.jit(self._step, out_shardings=everywhere)
                self._programs[kind] = step.lower(weights, feed, zero).compile(), zero
        program, zero = self._programs[kind]
        return program, zero

    def _on_the_host(
        self, weights: Weights, feed: PyTree, cut: InParts | None
    ) -> tuple[Any, Totals]:
        """As `_program`, but the network is called on the host, see `outputs_on` and `InParts`."""
        place = replicated(self._mesh)
        network = traced = self._network
        if cut is not None:
            network, traced = cut, cut.traced

        def finish(
            weights: Weights, outputs: PyTree, batch: Batch, totals: Totals
        ) -> tuple[Totals, dict[str, jax.Array]]:
            sums, answers = self._measured(weights, outputs, batch)
            return totals.add(sums), answers

        prepare: Any = jax.jit(self._data.prepare)
        finish_all: Any = jax.jit(finish, out_shardings=place)
        batch = jax.eval_shape(prepare, feed)
        outputs = jax.eval_shape(lambda w, b: outputs_on(traced, w, b, self._views), weights, batch)
        sums, _ = jax.eval_shape(self._measured, weights, outputs, batch)
        zero = Totals.like(sums, place)
        if cut is not None:  # on one device: nothing is to be said of where the arrays lie
            cut.compile()
            prepare = prepare.lower(feed).compile()
            finish_all = finish_all.lower(weights, outputs, batch, zero).compile()

        def step(weights: Weights, feed: PyTree, totals: Totals) -> Any:
            batch = prepare(feed)
            outputs = outputs_on(network, weights, batch, self._views)
            return finish_all(weights, outputs, batch, totals)

        return step, zero

    def _step(
        self, weights: Weights, feed: PyTree, totals: Totals
    ) -> tuple[Totals, dict[str, jax.Array]]:
        sums, answers = self._sums(weights, feed)
        return totals.add(sums), answers

    def _sums_of(self, weights: Weights, feed: PyTree) -> tuple[PyTree, dict[str, jax.Array]]:
        """(number of examples, what the task measures) of a batch, and the answers that are asked for."""
        batch = self._data.prepare(feed)
        outputs = outputs_on(self._network, weights, batch, self._views)
        return self._measured(weights, outputs, batch)

    def _measured(
        self, weights: Weights, views: PyTree, batch: Batch
    ) -> tuple[PyTree, dict[str, jax.Array]]:
        """As `_sums_of`, of what the network made of each view."""
        outputs = together(self._task, views, batch, self._views)
        examples = (batch["mask"] > 0).sum(dtype=jnp.int32)
        answers: dict[str, jax.Array] = {}
        if self._answers:
            answers = self._task.answers(self._model, weights, outputs, batch)
            answers["mask"] = batch["mask"]
        return (examples, self._task.measure(outputs, batch)), answers


def _plain(value: Any) -> Any:
    """Values of NumPy and JAX as those that JSON has; a number that is not finite is None."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        return _plain(np.asarray(value).tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _collect(batches: list[dict[str, np.ndarray]]) -> Answers:
    """The answers on the real examples of all batches, in their order."""
    columns = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    real = columns.pop("mask") > 0
    return {name: column[real] for name, column in columns.items()}
