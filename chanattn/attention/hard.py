"""Hard channel selection on SE's logits: the contrast that soft attention is measured against.

The same squeeze, the same two layers, the same parameters as `SE`; only the map from logits to weights
differs, see `chanattn.attention.functional.select` for the equations. Every other mechanism with an option
`gate` takes the same gates: `create("eca", gate="top_k", fraction=0.25)`. `random_k` does not look at logits,
so it comes without the layers.

Each has the options of its gate beside those of `SE`.
"""

from dataclasses import field

import flax.linen as nn
import jax

from chanattn.attention.functional import gate as gates
from chanattn.attention.functional import squeeze
from chanattn.attention.functional.fuse import over_space
from chanattn.attention.module import Attention
from chanattn.attention.registry import register
from chanattn.attention.se import SE

_SE_LOGITS = ("mean", "bottleneck")
_PARAMETERS = "2 C d + C + d"
_STRAIGHT_THROUGH = (
    "Bengio, Léonard, Courville. Estimating or Propagating Gradients Through Stochastic Neurons for "
    "Conditional Computation. 2013. arXiv:1308.3432"
)


@register(
    "top_k",
    axes=(*_SE_LOGITS, "the k largest logits"),
    parameters=_PARAMETERS,
    year=2013,
    citation=_STRAIGHT_THROUGH,
)
class TopK(SE):
    """The k channels with the largest SE logits pass, scaled by C / k; the rest is silenced.

    Attributes:
        fraction: k / C, in (0, 1].
        temperature: Of the soft gate that gradients come from, at the first step.
        anneal_rate: r of its fall, temperature exp(-r t) at training step t.
        min_temperature: Where the fall ends.
    """

    gate: str | gates.Gate = field(default="top_k", init=False)
    fraction: float = 0.5
    temperature: float = 1.0
    anneal_rate: float = 0.0
    min_temperature: float = 0.1


@register(
    "argmax",
    axes=(*_SE_LOGITS, "the largest logit"),
    parameters=_PARAMETERS,
    year=2013,
    citation=_STRAIGHT_THROUGH,
)
class Argmax(SE):
    """The one channel with the largest SE logit passes, scaled by C: hard attention in the literal sense.

    Attributes:
        temperature: Of the soft gate that gradients come from, at the first step.
        anneal_rate: r of its fall, temperature exp(-r t) at training step t.
        min_temperature: Where the fall ends.
    """

    gate: str | gates.Gate = field(default="argmax", init=False)
    temperature: float = 1.0
    anneal_rate: float = 0.0
    min_temperature: float = 0.1


@register(
    "gumbel_sigmoid",
    axes=(*_SE_LOGITS, "Bernoulli sample"),
    parameters=_PARAMETERS,
    year=2017,
    citation="Maddison, Mnih, Teh. The Concrete Distribution: A Continuous Relaxation of Discrete Random "
    "Variables. ICLR 2017. arXiv:1611.00712",
)
class GumbelSigmoid(SE):
    """Every channel is open or shut with the probability sigmoid(SE logit); a loss asks for a rate.

    Attributes:
        temperature: Of the soft gate that gradients come from, at the first step.
        relaxed: In training, weights between 0 and 1 in place of a choice.
        anneal_rate: r of its fall, temperature exp(-r t) at training step t.
        min_temperature: Where the fall ends.
        rate: Share of open channels that a penalty, sown in `losses`, asks for.
        rate_weight: Weight of the penalty; 0: there is none.
    """

    gate: str | gates.Gate = field(default="gumbel_sigmoid", init=False)
    temperature: float = 1.0
    relaxed: bool = False
    anneal_rate: float = 0.0
    min_temperature: float = 0.1
    rate: float = 0.5
    rate_weight: float = 1.0


@register(
    "gumbel_softmax",
    axes=(*_SE_LOGITS, "categorical sample"),
    parameters=_PARAMETERS,
    year=2017,
    citation="Jang, Gu, Poole. Categorical Reparameterization with Gumbel-Softmax. ICLR 2017. "
    "arXiv:1611.01144",
)
class GumbelSoftmax(SE):
    """One channel passes, drawn with the probability softmax(SE logits), scaled by C.

    Attributes:
        temperature: Of the soft gate that gradients come from, at the first step.
        relaxed: In training, weights between 0 and C in place of a choice.
        anneal_rate: r of its fall, temperature exp(-r t) at training step t.
        min_temperature: Where the fall ends.
    """

    gate: str | gates.Gate = field(default="gumbel_softmax", init=False)
    temperature: float = 1.0
    relaxed: bool = False
    anneal_rate: float = 0.0
    min_temperature: float = 0.1


@register(
    "hard_concrete",
    axes=(*_SE_LOGITS, "hard concrete sample"),
    parameters=_PARAMETERS,
    year=2018,
    citation="Louizos, Welling, Kingma. Learning Sparse Neural Networks through L0 Regularization. "
    "ICLR 2018. arXiv:1712.01312",
)
class HardConcrete(SE):
    """Weights in [0, 1] that are exactly 0 or 1 with positive probability; a loss asks for a rate.

    Attributes:
        temperature: Of the soft gate that gradients come from, at the first step.
        anneal_rate: r of its fall, temperature exp(-r t) at training step t.
        min_temperature: Where the fall ends.
        rate: Share of open channels that a penalty, sown in `losses`, asks for.
        rate_weight: Weight of the penalty; 0: there is none.
    """

    gate: str | gates.Gate = field(default="hard_concrete", init=False)
    temperature: float = 2 / 3
    anneal_rate: float = 0.0
    min_temperature: float = 0.1
    rate: float = 0.5
    rate_weight: float = 1.0


@register(
    "random_k",
    axes=("none", "none", "k random channels"),
    parameters="0",
    order_matters=True,
    year=2014,
    citation="Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov. Dropout: A Simple Way to Prevent "
    "Neural Networks from Overfitting. JMLR 2014 (with a fixed number of channels)",
)
class RandomK(Attention):
    """k random channels pass, scaled by C / k: the control for every selection that looks.

    Attributes:
        fraction: k / C, in (0, 1].
    """

    gate: str | gates.Gate = field(default="random_k", init=False)
    fraction: float = 0.5

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Silence channels of (N, H, W, C)."""
        x = self.feature_map(x)
        w = self.weigh(squeeze.mean(x), train)
        return x * over_space(w, x)
