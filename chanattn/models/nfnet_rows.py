"""The rows of the networks without norms; part of `chanattn.models.architectures`.

dm_nfnet_f0, ...   As DeepMind published them with weights: factors in activations, SkipInit, "same" padding.
nfnet_f0, ...      The same in PyTorch's ways, factors in the convolutions (timm).
nfnet_l0, ...      Narrower bottlenecks and groups, SiLU (timm).
nf_regnet_b0, ...  NF-RegNet, with widths that are multiples of 8 (timm).
nf_resnet26, ...   NF-ResNet.
"""

from typing import Any

from chanattn.attention.widths import make_divisible
from chanattn.models.nfnet import NFNet

Arguments = dict[str, Any]

_F_WIDTHS = (256, 512, 1536, 1536)


def _nfnet(layers: tuple[int, ...], image_size: int, **more: Any) -> Arguments:
    return {
        "network": NFNet,
        "layers": layers,
        "widths": _F_WIDTHS,
        "group_width": 128,
        "extra_conv": True,
        "num_features": 2 * _F_WIDTHS[-1],
        "activation": "gelu_exact",
        "image_size": image_size,
        **more,
    }


_DM: Arguments = {"skip_gain": True, "gamma_in_act": True, "padding": "same"}


def _light(layers: tuple[int, ...], image_size: int, **more: Any) -> Arguments:
    light = {"expansion": 0.25, "group_width": 64, "activation": "silu"}
    return _nfnet(layers, image_size, **(light | more))


def _regnet(layers: tuple[int, ...], image_size: int, widths: tuple[int, ...]) -> Arguments:
    """Three quarters of EfficientNet's widths."""

    def scaled(width: int) -> int:
        return make_divisible(0.75 * width, 8, keep=0.9)

    return {
        "network": NFNet,
        "layers": layers,
        "widths": tuple(map(scaled, widths)),
        "stem": "conv3",
        "stem_width": scaled(widths[0]),
        "expansion": 2.25,
        "group_width": 8,
        "width_of_input": True,
        "num_features": scaled(1280 * widths[-1] // 440),
        "activation": "silu",
        "image_size": image_size,
    }


def _resnet(*layers: int, image_size: int = 224) -> Arguments:
    return {
        "network": NFNet,
        "layers": layers,
        "widths": (256, 512, 1024, 2048),
        "stem": "conv7",
        "stem_width": 64,
        "expansion": 0.25,
        "image_size": image_size,
    }


_F_LAYERS = [(n, 2 * n, 6 * n, 3 * n) for n in range(1, 9)]
_F_SIZES = (192, 224, 256, 320, 384, 416, 448, 480)
_B01 = (48, 104, 208, 440)

NFNETS: dict[str, Arguments] = {
    **{f"dm_nfnet_f{n}": _nfnet(_F_LAYERS[n], _F_SIZES[n], **_DM) for n in range(7)},
    **{f"nfnet_f{n}": _nfnet(_F_LAYERS[n], _F_SIZES[n]) for n in range(8)},
    "nfnet_l0": _light(_F_LAYERS[0], 224, num_features=2304),
    **{f"nfnet_l{n}": _light(_F_LAYERS[n], size) for n, size in ((1, 256), (2, 320), (3, 352))},
    "test_nfnet": _light(
        *((1, 1, 1, 1), 160), widths=(32, 64, 96, 128), group_width=8, num_features=192
    ),
    "nf_regnet_b0": _regnet((1, 3, 6, 6), 192, _B01),
    "nf_regnet_b1": _regnet((2, 4, 7, 7), 256, _B01),
    "nf_regnet_b2": _regnet((2, 4, 8, 8), 240, (56, 112, 232, 488)),
    "nf_regnet_b3": _regnet((2, 5, 9, 9), 288, (56, 128, 248, 528)),
    "nf_regnet_b4": _regnet((2, 6, 11, 11), 320, (64, 144, 288, 616)),
    "nf_regnet_b5": _regnet((3, 7, 14, 14), 384, (80, 168, 336, 704)),
    "nf_resnet26": _resnet(2, 2, 2, 2),
    "nf_resnet50": _resnet(3, 4, 6, 3, image_size=256),
    "nf_resnet101": _resnet(3, 4, 23, 3),
}
