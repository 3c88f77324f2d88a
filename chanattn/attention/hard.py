"""Hard channel selection on SE's logits: the contrast that soft attention is measured against.

The same squeeze, the same two layers, the same parameters as `se`; only the map from logits to weights
differs, see `chanattn.attention.selection` for the equations. Every other mechanism with an option `gate`
takes the same gates: `create("eca", gate="top_k", fraction=0.25)`. `random_k` does not look at logits, so
it comes without the layers.
"""

from chanattn.attention.channel import OF_MIXES, channel
from chanattn.attention.registry import preset
from chanattn.attention.se import se

_SE_LOGITS = ("mean", "bottleneck")
_STRAIGHT_THROUGH = (
    "Bengio, Léonard, Courville. Estimating or Propagating Gradients Through Stochastic Neurons for "
    "Conditional Computation. 2013. arXiv:1308.3432"
)

preset(
    "top_k",
    se,
    """The k channels with the largest SE logits pass, scaled by C / k; the rest is silenced.

    Parameters: 2 C d + C + d
    """,
    fixed={"gate": "top_k"},
    axes=(*_SE_LOGITS, "the k largest logits"),
    year=2013,
    citation=_STRAIGHT_THROUGH,
)

preset(
    "argmax",
    se,
    """The one channel with the largest SE logit passes, scaled by C: hard attention in the literal sense.

    Parameters: 2 C d + C + d
    """,
    fixed={"gate": "argmax"},
    axes=(*_SE_LOGITS, "the largest logit"),
    year=2013,
    citation=_STRAIGHT_THROUGH,
)

preset(
    "gumbel_sigmoid",
    se,
    """Every channel is open or shut with the probability sigmoid(SE logit); a loss asks for a rate.

    Parameters: 2 C d + C + d
    """,
    fixed={"gate": "gumbel_sigmoid"},
    axes=(*_SE_LOGITS, "Bernoulli sample"),
    year=2017,
    citation="Maddison, Mnih, Teh. The Concrete Distribution: A Continuous Relaxation of Discrete Random "
    "Variables. ICLR 2017. arXiv:1611.00712",
)

preset(
    "gumbel_softmax",
    se,
    """One channel passes, drawn with the probability softmax(SE logits), scaled by C.

    Parameters: 2 C d + C + d
    """,
    fixed={"gate": "gumbel_softmax"},
    axes=(*_SE_LOGITS, "categorical sample"),
    year=2017,
    citation="Jang, Gu, Poole. Categorical Reparameterization with Gumbel-Softmax. ICLR 2017. "
    "arXiv:1611.01144",
)

preset(
    "hard_concrete",
    se,
    """Weights in [0, 1] that are exactly 0 or 1 with positive probability; a loss asks for a rate.

    Parameters: 2 C d + C + d
    """,
    fixed={"gate": "hard_concrete"},
    axes=(*_SE_LOGITS, "hard concrete sample"),
    year=2018,
    citation="Louizos, Welling, Kingma. Learning Sparse Neural Networks through L0 Regularization. "
    "ICLR 2018. arXiv:1712.01312",
)

preset(
    "random_k",
    channel,
    """k random channels pass, scaled by C / k: the control for every selection that looks.

    Parameters: 0
    """,
    fixed={"gate": "random_k", "squeeze": "mean", "mix": "identity", "fuse": "scale"}
    | dict.fromkeys(OF_MIXES),
    axes=("none", "none", "k random channels"),
    order_matters=True,
    year=2014,
    citation="Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov. Dropout: A Simple Way to Prevent "
    "Neural Networks from Overfitting. JMLR 2014 (with a fixed number of channels)",
)
