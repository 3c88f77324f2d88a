"""The two gates of BiSeNet. Yu, Wang, Peng, Gao, Yu, Sang; ECCV 2018; arXiv:1808.00897, section 3.2.

    arm   attention refinement    w = sigmoid(BN(W mean_p x_p)),                 y = x w
    ffm   feature fusion          w = sigmoid(W2 relu(W1 mean_p x_p)),           y = x (1 + w)
                                  w = sigmoid(BN(W mean_p x_p)), preset "port"

W, W1, W2: C -> C, no bottleneck and no biases. The network (`chanattn.models.heads.bisenet`) has a
convolution in front of each, whose result is x. The second gate is that of the paper's figure 2c and of the
authors' code (ycszen/TorchSeg, where the reduction is 1); the much used port of CoinCheung has the first one
there as well. mmsegmentation rectifies its logits, so that no weight is below 0.5; that slip is left out.

Batch norm sees one value a picture: in training it needs several pictures a batch; one alone has a constant
for its gate, which teaches W nothing.
"""

import flax.linen as nn
import jax

from chanattn.attention import mix
from chanattn.attention.functional import gate as gates
from chanattn.attention.functional import squeeze
from chanattn.attention.functional.fuse import over_space, residual
from chanattn.attention.module import Attention
from chanattn.attention.registry import register
from chanattn.errors import UsageError

CITATION = (
    "Yu, Wang, Peng, Gao, Yu, Sang. BiSeNet: Bilateral Segmentation Network for Real-time Semantic "
    "Segmentation. ECCV 2018. arXiv:1808.00897"
)
PRESETS = ("official", "port")


@register(
    "arm",
    year=2018,
    axes=("mean", "dense, batch norm", "sigmoid"),
    parameters="C^2 + 2 C",
    citation=CITATION,
)
class ARM(Attention):
    """BiSeNet's attention refinement: one full layer and batch norm in place of the bottleneck.

    0.5 at zero logits.

    Attributes:
        gate: A soft or hard gate of `functional.gate`.
    """

    gate: str | gates.Gate = "sigmoid"

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Reweigh the channels of (N, H, W, C)."""
        x = self.feature_map(x)
        layer = mix.Dense(use_norm=True, param_dtype=self.param_dtype, name="mix")
        w = self.weigh(layer(squeeze.mean(x), train), train)
        return x * over_space(w, x)


@register(
    "ffm",
    year=2018,
    axes=("mean", "bottleneck that is none: d = C", "1 + sigmoid"),
    parameters="2 C^2",
    citation=CITATION,
)
class FFM(Attention):
    """The gate of BiSeNet's feature fusion: strengthens channels, two full layers.

    Multiplies by 1.5 at zero logits. With "port" C^2 + 2 C parameters.

    Attributes:
        preset: "official" (two layers) or "port" (one with batch norm, as in `ARM`).
        gate: A soft or hard gate of `functional.gate`; x is multiplied by 1 + gate.

    Raises:
        UsageError: An unknown preset or gate.
    """

    preset: str = "official"
    gate: str | gates.Gate = "sigmoid"

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise UsageError(f"ffm: unknown preset {self.preset!r}; valid: {', '.join(PRESETS)}")
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Strengthen the channels of (N, H, W, C)."""
        x = self.feature_map(x)
        own = {"use_bias": False, "param_dtype": self.param_dtype, "name": "mix"}
        layers = (
            mix.Bottleneck(width=x.shape[-1], **own)
            if self.preset == "official"
            else mix.Dense(use_norm=True, **own)
        )
        w = self.weigh(layers(squeeze.mean(x), train), train)
        return residual(x, over_space(w, x))
