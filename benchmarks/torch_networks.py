"""The benchmark's networks in PyTorch, from timm's blocks and modules. Runs in the peer's interpreter.

Imports torch and timm, and nothing of this project.
"""

import importlib.util
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from benchmarks import torch_tasks


def declare_torchvision_operators() -> None:
    """Lets timm import a torchvision whose library does not fit the build of torch.

    timm imports torchvision, which refuses to be imported unless two of its operators exist. A CPU build of
    torch cannot load the library that defines them; their names are enough here, nothing calls them.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return
    libraries = list(Path(spec.origin).parent.glob("_C*"))
    try:
        for library in libraries:
            torch.ops.load_library(str(library))
        if libraries:
            return
    except OSError:
        pass
    operators = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.append(operators)


_declared: list[Any] = []  # an operator lives as long as its library object


class ZeroPad(nn.Module):
    """Shortcut without parameters: strided, new channels zero (option A of He et al.)."""

    def __init__(self, extra: int, stride: int) -> None:
        """`extra` channels are added."""
        super().__init__()
        self.extra, self.stride = extra, stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, I, H, W) -> (N, I + extra, H / stride, W / stride)."""
        x = x[:, :, :: self.stride, :: self.stride]
        return functional.pad(x, (0, 0, 0, 0, 0, self.extra))


class CifarResNet(nn.Module):
    """ResNet-20 for 32x32 pictures: a 3x3 stem, three stages of three basic blocks, no max pool."""

    def __init__(self, attention: str, num_classes: int) -> None:
        """`attention` is a mechanism of the benchmark, or empty."""
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.act = nn.ReLU(inplace=True)
        blocks, width = [], 16
        for stage, planes in enumerate((16, 32, 64)):
            for number in range(3):
                stride = 2 if stage > 0 and number == 0 else 1
                shortcut = ZeroPad(planes - width, stride) if planes != width else None
                blocks.append(_basic_block(attention, width, planes, stride, shortcut))
                width = planes
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(width, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) -> logits (N, num_classes)."""
        x = self.blocks(self.act(self.bn1(self.conv1(x))))
        return self.fc(x.mean((2, 3)))


def network(row: dict[str, Any]) -> nn.Module:
    """The network or the bare module of a row."""
    attention = row["attention"]
    if not row["architecture"]:
        return _module(attention, row["shape"][-1])
    if row["head"]:
        return torch_tasks.NETWORKS[row["head"]](attention, row["num_classes"])
    if row["architecture"] == "resnet20":
        return CifarResNet(attention, row["num_classes"])
    from timm.models import resnest, resnet, sknet

    block, arguments = {
        "sk": (sknet.SelectiveKernelBottleneck, {"sk_kwargs": {"split_input": True}}),
        "splat": (resnest.ResNestBottleneck, {"radix": 2, "avd": True}),
    }.get(attention, (resnet.Bottleneck, {"attn_layer": attention} if attention else {}))
    return resnet.ResNet(
        block,
        [3, 4, 6, 3],
        num_classes=row["num_classes"],
        zero_init_last=False,
        block_args=arguments,
    )


def _basic_block(
    attention: str, width: int, planes: int, stride: int, shortcut: nn.Module | None
) -> nn.Module:
    from timm.models.resnet import BasicBlock
    from timm.models.sknet import SelectiveKernelBasic

    if attention == "sk":
        return SelectiveKernelBasic(
            width, planes, stride, shortcut, sk_kwargs={"split_input": True}
        )
    gate = attention if attention != "splat" else None
    block = BasicBlock(width, planes, stride, shortcut, attn_layer=gate or None)
    if attention == "splat":
        pool = [nn.AvgPool2d(3, stride, padding=1)] if stride > 1 else []
        block.conv1 = nn.Sequential(_module("splat", width, planes), *pool)
        block.bn1 = block.act1 = nn.Identity()
    return block


def _module(attention: str, channels: int, filters: int | None = None) -> nn.Module:
    from timm.layers import SelectiveKernel, SplitAttn, create_attn

    conv_slot = {
        "sk": partial(SelectiveKernel, split_input=True),
        "splat": partial(SplitAttn, radix=2, norm_layer=nn.BatchNorm2d),
    }
    if attention in conv_slot:
        return conv_slot[attention](channels, filters)
    return create_attn(attention, channels)
