"""A training step as a program, one call of which may make several steps of the same feed.

Between two calls the host hands over every array of the state and takes every result: a fifth of a small
network's step on one core (benchmarks/NOTES.md). A loop inside the program has none of it.
"""

import dataclasses
from typing import Any, Self

import jax
import numpy as np
from jax.extend import core
from jax.sharding import Mesh

from chanattn.data.placement import put_copies, replicated
from chanattn.training.state import TrainState, Window

PyTree = Any


@dataclasses.dataclass(frozen=True)
class StepProgram:
    """A program `(state, feed, seed)` as one of `(state, feed)`; it consumes (donates) the state.

    The seed is an argument and no constant of the program, so that runs that differ in nothing else share
    one compiled program (`chanattn.training.compilation_cache`).

    Attributes:
        program: jitted, lowered or compiled; of `(state, feed, seed, steps)` if it repeats.
        single: the jitted program without a loop.
        seed: of the run.
        mesh: the devices.
        repeats: whether a call may make several steps.
    """

    program: Any
    single: Any
    seed: jax.Array
    mesh: Mesh
    repeats: bool

    @classmethod
    def of(cls, step: Any, seed: int, mesh: Mesh, *, repeats: bool) -> Self:
        """The jitted program.

        Args:
            step: `(state, feed, seed) -> (state, window)`, to be traced.
            seed: of the run.
            mesh: the devices.
            repeats: whether a call may make several steps. On a CPU it may not, whatever is asked for, if
                the step holds a convolution of XLA's, which runs on one core inside a loop, and slowly.
        """

        def several(
            state: TrainState, feed: PyTree, seed: jax.Array, steps: jax.Array
        ) -> tuple[TrainState, Window]:
            start = (state, state.window)
            return jax.lax.fori_loop(0, steps, lambda _, now: step(now[0], feed, seed), start)

        single, loop = (
            jax.jit(each, donate_argnums=0, out_shardings=replicated(mesh))
            for each in (step, several)
        )
        return cls(loop if repeats else single, single, _seed(seed, mesh), mesh, repeats)

    def reseeded(self, seed: int) -> Self:
        """The same program with another seed."""
        return dataclasses.replace(self, seed=_seed(seed, self.mesh))

    def __call__(
        self, state: TrainState, feed: PyTree, steps: int = 1
    ) -> tuple[TrainState, Window]:
        """The state after so many steps, all of that feed, and the window of the last one.

        Raises:
            ValueError: several steps are wanted, and the program does not repeat.
        """
        if self.repeats:
            return self.program(state, feed, self.seed, _count(steps, self.mesh))
        if steps != 1:
            raise ValueError(f"a program that makes one step a call was asked for {steps}")
        return self.program(state, feed, self.seed)

    def lower(self, state: TrainState, feed: PyTree) -> Self:
        """As of a jitted function; `.compile()` of the result gives a program to call."""
        if not self.repeats:
            return dataclasses.replace(self, program=self.single.lower(state, feed, self.seed))
        traced = self.program.trace(state, feed, self.seed, _count(1, self.mesh))
        if self.mesh.devices.flat[0].platform == "cpu" and _convolves(traced.jaxpr.jaxpr):
            return dataclasses.replace(self, repeats=False).lower(state, feed)
        return dataclasses.replace(self, program=traced.lower())

    def compile(self) -> Self:
        """As of a lowered function."""
        return dataclasses.replace(self, program=self.program.compile())

    def __getattr__(self, name: str) -> Any:
        """All else (`as_text`, `memory_analysis`) is that of the program."""
        return getattr(self.program, name)


def _seed(value: int, mesh: Mesh) -> jax.Array:
    return put_copies(np.asarray(value, np.uint32), mesh)


def _count(value: int, mesh: Mesh) -> jax.Array:
    return put_copies(np.asarray(value, np.int32), mesh)


def _convolves(jaxpr: core.Jaxpr) -> bool:
    return any(
        equation.primitive.name == "conv_general_dilated"
        or any(map(_convolves, core.jaxprs_in_params(equation.params)))
        for equation in jaxpr.eqns
    )
