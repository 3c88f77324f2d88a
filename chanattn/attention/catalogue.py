"""The whole family in one table, from what is registered and what can be measured."""

from collections.abc import Iterator

from chanattn.attention import mix
from chanattn.attention.functional import gate, squeeze
from chanattn.attention.mechanism import Measurement, Mechanism
from chanattn.attention.registry import describe, names
from chanattn.markdown import table

CHANNELS, SIZE = 256, 14

COLUMNS = (
    "name",
    "year",
    "slot",
    "place",
    "squeeze",
    "mix",
    "gate",
    "parameters",
    f"at C={CHANNELS}",
    f"MACs at {SIZE}x{SIZE}",
    "gate at init",
    "start=identity",
)
NUMBERS = COLUMNS[8:10]


def rows() -> Iterator[tuple[str, ...]]:
    """The cells of every mechanism, in the order of `COLUMNS`."""
    for name in names():
        mechanism = describe(name)
        measured = mechanism.measure(CHANNELS, SIZE)
        yield (
            name,
            str(mechanism.year or ""),
            mechanism.slot,
            mechanism.placement,
            *mechanism.axes,
            mechanism.parameters,
            f"{measured.parameters:,}",
            f"{measured.macs:,}",
            _gate(mechanism, measured),
            mechanism.identity_start,
        )


def _gate(mechanism: Mechanism, measured: Measurement) -> str:
    if mechanism.identity_at_init:
        return "1 (identity)"
    return "" if measured.gate is None else f"{measured.gate:.2f}"


def markdown() -> str:
    """The text of `docs/catalogue.md`."""
    return "\n".join(
        (_HEAD, summary(), "", _MEASURED, *table(COLUMNS, rows()), "", _axes(), "", *_sources(), "")
    )


def summary() -> str:
    """The short table: what each mechanism does, where it sits, and its parameters."""
    lines = []
    for name in names():
        mechanism = describe(name)
        place = "conv slot" if mechanism.slot == "conv" else f"`{mechanism.placement}`"
        what = mechanism.summary.removesuffix(".")
        lines.append((f"`{name}`", what, place, mechanism.parameters))
    return "\n".join(table(("mechanism", "what it does", "default place", "parameters"), lines))


_HEAD = """\
# The family

Written by `python -m chanattn.attention --markdown`; a test keeps it up to date.

Each mechanism is a class of Flax modules, `attention.CLASS(...)`. By name it is `attention.create(NAME, ...)`
and `--config.model.attention.name=NAME` in a training. C is the number of channels, d the width of a
bottleneck; the docstrings explain the rest. Where paper, official
code and timm disagree, the docstring says how, and each is a named preset.
"""
_MEASURED = f"""\
## Measured

* *slot*: a mechanism of the gate slot maps a feature map to one of the same shape; one of the conv slot
  stands in place of a 3x3 convolution, its norm and activation.
* *place*: where in a network it sits by default (`--config.model.attention.placement`).
* *parameters*: closed formula at default options; C is the number of channels, and the docstring explains
  the other symbols. Next to it the number at C = {CHANNELS}.
* *MACs*: multiplications for one picture with a {SIZE}x{SIZE} map: of convolutions and matrix products (in
  the conv slot those of the convolution that is replaced, too), and element by element (scaling the map).
* *gate at init*: the m of y = m x at initialisation, by least squares on a random map: 1 leaves a block as
  it was, 0.5 halves its residual branch.
* *start=identity*: how it can be added to a trained network without changing what that predicts
  (`--config.model.attention.start=identity`): *by itself*, its own initialisation does it; *by a weight*,
  y = x + a (A(x) - x) with a learned a that starts at 0 (`chanattn/attention/start.py`); *no*, it replaces a
  convolution.

Weight decay acts on the weights of linear maps and on all parameters with two axes or more that are no
biases (`attention.decays`), in every mechanism and in the network around it: matrices, convolutions, ECA's
taps, codewords and bases, but no scale, shift or temperature. timm treats the same layers so; the authors of
most mechanisms let `torch.optim` decay every parameter. `--config.optimizer.decay_attention=False` leaves
attention out. Which parameters of a mechanism decay stands with its options below.
"""


def _axes() -> str:
    return "\n".join(
        (
            "## Axes",
            "",
            "`channel` combines any of these, and every mechanism with the option `gate` takes any gate:",
            "",
            f"* squeeze: {_listed(squeeze.names())}, or several joined by `+`",
            f"* mix: {_listed(mix.names())}",
            f"* gate: {_listed(gate.names())}",
        )
    )


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _sources() -> Iterator[str]:
    yield "## Options, weight decay and sources"
    for name in names():
        mechanism = describe(name)
        options = {
            option: spec
            for option, spec in mechanism.options.items()
            if option not in gate.OPTIONS or spec.default is not None
        }
        yield ""
        yield f"**`{name}`**, `{mechanism.module.__name__}`. {mechanism.summary}"
        if options:
            yield "<br>Options: " + ", ".join(
                f"`{option}={spec.default!r}`" for option, spec in options.items()
            )
        decayed = ", ".join(f"`{path}`" for path in mechanism.decayed())
        yield f"<br>Weight decay: {decayed or 'on no parameter'}"
        yield f"<br>{mechanism.citation}"
