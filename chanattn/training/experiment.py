"""What a config stands for: devices, data, network, task, optimizer, checked against each other."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, Self

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from chanattn import data, tasks
from chanattn.class_names import check_distinct, difference
from chanattn.data.placement import AXIS
from chanattn.errors import UsageError
from chanattn.layers import kernels
from chanattn.tasks import Task
from chanattn.training import nonfinite
from chanattn.training.evaluator import Evaluator
from chanattn.training.finetuning import check_freeze
from chanattn.training.initial import Initial, load, read
from chanattn.training.mesh import setup
from chanattn.training.optimizer import make_optimizer
from chanattn.training.schedule import Schedule, make_schedule, total_steps
from chanattn.training.state import TrainState, abstract_state, compile_beside, make_init
from chanattn.training.step import make_train_step

Data = tuple[data.TrainingData, data.EvaluationData]


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Everything a training needs but its state.

    Attributes:
        config: what it was built from.
        mesh: the devices.
        train: training data, see `chanattn.data.training`.
        test: evaluation data, see `chanattn.data.evaluation`.
        model: the network.
        task: loss and metrics.
        total_steps: length of the training.
        schedule: learning rate by step.
        optimizer: gradients to updates.
        initial: what the run begins with in place of drawn weights, if `model.init` names something.
        programs: what has been traced and compiled; experiments that differ in the seed alone share it.
    """

    config: ConfigDict
    mesh: Mesh
    train: data.TrainingData
    test: data.EvaluationData
    model: nn.Module
    task: Task
    total_steps: int
    schedule: Schedule
    optimizer: optax.GradientTransformation
    initial: Initial | None = None
    programs: dict[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def build(
        cls,
        config: ConfigDict,
        initial: Callable[..., Initial | None] = lambda *_: None,
        data_of: Callable[..., Data] | None = None,
    ) -> Self:
        """Builds all parts of a valid config.

        Args:
            config: of the run.
            initial: reads `model.init`, as `chanattn.training.initial.read` does; by default nobody does.
            data_of: in place of `open_data`.

        Raises:
            UsageError: devices, data and network do not fit together.
        """
        mesh = setup(config)
        task = tasks.create(config.task)
        train, test = (data_of or open_data)(config, mesh, task.fields, task.scored_as_stored)
        _check_classes(config, train.class_names, test.class_names)
        data.check_splits(config, train.source, test.source)
        data.check_shared_memory(train, test)
        task = task.fitted(functools.partial(data.annotations, train.source), train.class_names)
        model = tasks.network(config, train.num_classes)
        length = total_steps(config, train.steps_per_epoch, config.batch_size)
        schedule = make_schedule(config, length, train.steps_per_epoch)
        begin = initial(config, model, train.image_shape, train.class_names, mesh)
        new = () if begin is None else begin.new
        experiment = cls(
            config=config,
            mesh=mesh,
            train=train,
            test=test,
            model=model,
            task=task,
            total_steps=length,
            schedule=schedule,
            optimizer=make_optimizer(config, schedule, new),
            initial=begin,
        )
        # What does not fit the network's widths or maps, it refuses.
        check_freeze(experiment.abstract_state().params, config.optimizer.freeze)
        return experiment

    def every(self, steps: int) -> int:
        """An interval of the config in steps, where 0 means an epoch."""
        return steps or self.train.steps_per_epoch

    def with_seed(self, config: ConfigDict) -> Self:
        """The same experiment with a config that differs in its seed alone, and the same programs."""
        self.train.reseed(int(config.seed))
        return dataclasses.replace(self, config=config)

    def _program(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self.programs:
            self.programs[name] = make()
        return self.programs[name]

    @property
    def _init(self) -> Any:
        """See `make_init`; kept, because a network is traced once for all that is asked of it."""
        return self._program(
            "init",
            lambda: make_init(
                self.model,
                self.optimizer,
                self.task,
                self.train.image_shape,
                ema=self.config.ema.decay > 0,
                mesh=self.mesh,
            ),
        )

    def begin_state(self) -> Callable[[], TrainState]:
        """Has compiled what draws the state before the first step, beside whatever this thread does next.

        Returns:
            What waits for that, and returns the state; the same at each call.
        """
        create = self._program("create", lambda: compile_beside(self._init))

        @functools.cache
        def drawn() -> TrainState:
            state: TrainState = create(self.config.seed)
            arrays = None if self.initial is None else self.initial.arrays
            return state if arrays is None else load(arrays, state, self.mesh)

        return drawn

    def create_state(self) -> TrainState:
        """The state before the first step."""
        return self.begin_state()()

    def abstract_state(self) -> TrainState:
        """Shapes, types and shardings of the state: a template to restore a checkpoint into."""
        return abstract_state(self._init)

    def train_step(self) -> Any:
        """The jitted training step."""
        return make_train_step(
            self.model,
            self.optimizer,
            self.schedule,
            self.task,
            self.train.prepare,
            mesh=self.mesh,
            seed=self.config.seed,
            accumulate=self.config.accumulate,
            ema_decay=self.config.ema.decay,
            log_every=self.every(self.config.log_every),
            skip_nonfinite=self.config.nonfinite.policy == nonfinite.SKIP,
            freeze=self.config.optimizer.freeze,
            # Measured for oneDNN's kernels alone (benchmarks/NOTES.md), which run on one device: several
            # processes would have to agree on the number of steps.
            repeats=kernels.current() == "onednn" and self.train.steps_alike(0) > 1,
        )

    def compiled_step(self, feed: Any) -> Any:
        """The compiled training step, for feeds of this kind."""
        state = self.abstract_state()
        return self._program("step", lambda: self.train_step().lower(state, feed).compile())

    def evaluation(self) -> Evaluator:
        """What measures weights on the evaluation data."""
        return self._program(
            "evaluation", lambda: Evaluator(self.model, self.task, self.test, self.mesh)
        )


def open_data(config: ConfigDict, mesh: Mesh, fields: Any, whereabouts: bool) -> Data:
    """The data of a run, to train and to evaluate on.

    Args:
        config: of the run.
        mesh: devices.
        fields: see `Task.fields`.
        whereabouts: see `Task.scored_as_stored`.

    Raises:
        UsageError: a split is absent, or does not fit.
    """
    train = data.training(config, mesh, fields)
    test = data.evaluation(
        config, mesh, fields=fields, whereabouts=whereabouts, words=train.class_names
    )
    return train, test


@dataclasses.dataclass(frozen=True)
class Outline:
    """What is known of an experiment without its devices and pictures.

    Attributes:
        total_steps: length of the training.
        eval_every: steps between two evaluations.
        eval_examples: pictures in each of them.
        class_names: in the order of the labels.
    """

    total_steps: int
    eval_every: int
    eval_examples: int
    class_names: tuple[str, ...]


def outline(config: ConfigDict, *, initial: bool = True) -> Outline:
    """Checks a valid config as `Experiment.build` does, but reads no picture and looks at no device.

    Args:
        config: of the run.
        initial: whether to read and check what `model.init` names.

    Raises:
        UsageError: data, network and weights do not fit together, or the data set or the weights are absent.
    """
    fields = tasks.create(config.task).fields
    train = data.outline(config, config.dataset.split, fields)
    test = data.outline(config, config.dataset.eval_split, fields, train.class_names)
    _check_classes(config, train.class_names, test.class_names)
    data.check_splits(config, train.source, test.source)
    if train.num_examples < config.batch_size:
        raise UsageError(
            f"config.batch_size={config.batch_size} is larger than the {train.num_examples} examples of "
            f"split {config.dataset.split!r}: choose a smaller batch"
        )
    model = tasks.network(config, train.num_classes)
    image = jax.ShapeDtypeStruct((1, *train.image_shape), jnp.float32)
    with kernels.chosen("plain"):  # traced in half the time
        variables = jax.eval_shape(  # refuses what does not fit
            lambda image: model.init(jax.random.key(0), image), image
        )
    check_freeze(variables["params"], config.optimizer.freeze)
    if initial and config.model.init:
        mesh = jax.make_mesh((1,), (AXIS,), devices=jax.devices()[:1])
        read(config, model, train.image_shape, train.class_names, mesh)
    steps_per_epoch = train.num_examples // config.batch_size
    length = total_steps(config, steps_per_epoch, config.batch_size)
    make_optimizer(config, make_schedule(config, length, steps_per_epoch))
    every = config.eval_every or steps_per_epoch
    return Outline(length, every, test.num_examples, train.class_names)


def _check_classes(config: ConfigDict, train: Sequence[str], test: Sequence[str]) -> None:
    """Refuses splits whose labels mean different things."""
    split, eval_split = config.dataset.split, config.dataset.eval_split
    check_distinct(train)
    wrong = difference(train, test)
    if wrong:
        raise UsageError(
            f"split {eval_split!r} has other classes than {split!r} ({wrong}); choose splits of one set"
        )
