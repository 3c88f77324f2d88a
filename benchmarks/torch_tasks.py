"""Segmentation and detection in PyTorch, heads on ResNet-18, and their losses. In the peer's interpreter.

Written for the benchmark from the papers: semantic FPN (Kirillov et al., arXiv:1901.02446) and FCOS (Tian et
al., arXiv:1904.01355), with the widths, targets and losses of `chanattn`. Imports torch and timm, and
nothing of this project.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

STRIDES = (8, 16, 32, 64, 128)
_RANGES = ((0, 64), (64, 128), (128, 256), (256, 512), (512, float("inf")))
_RADIUS = 1.5  # in strides, around the centre of an object
_ALPHA, _GAMMA = 0.25, 2.0
_BOXES = 8  # of a picture
_TINY = 1e-7

Levels = list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]


class Stages(nn.Module):
    """The maps of ResNet-18's four stages, strides 4 to 32."""

    def __init__(self, attention: str) -> None:
        """`attention` is a gate of the benchmark, or empty."""
        super().__init__()
        from timm.models import resnet

        arguments = {"attn_layer": attention} if attention else {}
        self.net = resnet.ResNet(
            resnet.BasicBlock,
            [2, 2, 2, 2],
            num_classes=0,
            zero_init_last=False,
            block_args=arguments,
        )

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """(N, 3, H, W) -> maps, the finest first."""
        net, maps = self.net, []
        x = net.maxpool(net.act1(net.bn1(net.conv1(x))))
        for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
            x = stage(x)
            maps.append(x)
        return maps


def merged(laterals: nn.ModuleList, maps: list[torch.Tensor]) -> list[torch.Tensor]:
    """Laterals of the maps, each with the coarser one at its size; the finest first."""
    found: list[torch.Tensor] = []
    for lateral, map_ in zip(reversed(laterals), reversed(maps), strict=True):
        x = lateral(map_)
        if found:
            x = x + functional.interpolate(found[0], size=x.shape[2:], mode="nearest")
        found.insert(0, x)
    return found


class SemanticFPN(nn.Module):
    """Class scores of every pixel."""

    def __init__(self, attention: str, num_classes: int, width: int = 64) -> None:
        """On ResNet-18 with that gate."""
        super().__init__()
        self.stages = Stages(attention)
        self.laterals = nn.ModuleList(nn.Conv2d(c, width, 1) for c in (64, 128, 256, 512))
        self.levels = nn.ModuleList(
            nn.ModuleList(
                nn.Sequential(
                    nn.Conv2d(width, width, 3, padding=1, bias=False),
                    nn.GroupNorm(32, width),
                    nn.ReLU(inplace=True),
                )
                for _ in range(max(level, 1))
            )
            for level in range(4)
        )
        self.logits = nn.Conv2d(width, num_classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) -> logits (N, num_classes, H, W)."""
        laterals = merged(self.laterals, self.stages(x))
        total = None
        for level, (convolutions, y) in enumerate(zip(self.levels, laterals, strict=True)):
            for number, convolution in enumerate(convolutions):
                y = convolution(y)
                if level > 0:
                    finer = laterals[level - number - 1].shape[2:]
                    y = functional.interpolate(y, size=finer, mode="bilinear")
            total = y if total is None else total + y
        return functional.interpolate(self.logits(total), size=x.shape[2:], mode="bilinear")


class FCOS(nn.Module):
    """Logits, distances in pixels and centre-ness of every location of five levels."""

    def __init__(self, attention: str, num_classes: int, width: int = 256) -> None:
        """On ResNet-18 with that gate."""
        super().__init__()
        self.stages = Stages(attention)
        self.laterals = nn.ModuleList(nn.Conv2d(c, width, 1) for c in (128, 256, 512))
        self.outputs = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(3))
        self.further = nn.ModuleList(nn.Conv2d(width, width, 3, 2, padding=1) for _ in range(2))
        self.for_class, self.for_box = (
            nn.Sequential(
                *(
                    layer
                    for _ in range(4)
                    for layer in (
                        nn.Conv2d(width, width, 3, padding=1),
                        nn.GroupNorm(32, width),
                        nn.ReLU(inplace=True),
                    )
                )
            )
            for _ in range(2)
        )
        self.logits, self.distances, self.centerness = (
            nn.Conv2d(width, features, 3, padding=1) for features in (num_classes, 4, 1)
        )
        self.scales = nn.ParameterList(torch.ones(()) for _ in STRIDES)
        nn.init.constant_(self.logits.bias, -4.6)

    def forward(self, x: torch.Tensor) -> Levels:
        """(N, 3, H, W) -> three maps a level, the finest first."""
        laterals = merged(self.laterals, self.stages(x)[1:])
        pyramid = [output(y) for output, y in zip(self.outputs, laterals, strict=True)]
        y = pyramid[-1]
        for convolution in self.further:
            y = convolution(y)
            pyramid.append(y)
            y = functional.relu(y)
        found = []
        for stride, scale, y in zip(STRIDES, self.scales, pyramid, strict=True):
            for_class, for_box = self.for_class(y), self.for_box(y)
            reach = functional.relu(self.distances(for_box) * scale) * stride
            found.append((self.logits(for_class), reach, self.centerness(for_box)))
        return found


NETWORKS: dict[str, Callable[..., nn.Module]] = {"fpn": SemanticFPN, "fcos": FCOS}


def objective(row: dict[str, Any], device: torch.device) -> Callable[[Any], torch.Tensor]:
    """The loss of a row's outputs on labels of its own: `outputs -> scalar`."""
    n, height, width, _ = row["shape"]
    classes = row["num_classes"]
    if not row["head"]:
        label = torch.randint(classes, (n,), device=device)
        return lambda logits: functional.cross_entropy(logits.float(), label)
    if row["head"] == "fpn":
        label_map = torch.arange(height * width, device=device).reshape(height, width) % classes
        label_map = label_map.expand(n, -1, -1).contiguous()
        return lambda logits: functional.cross_entropy(logits.float(), label_map)
    share = (1 + torch.arange(_BOXES, device=device)) / _BOXES
    corners = torch.tensor([0.0, 0.0, width, height], device=device) * share[:, None]
    boxes = corners.expand(n, -1, -1).contiguous()
    labels = (torch.arange(_BOXES, device=device) % classes).expand(n, -1).contiguous()
    grid = [facts.to(device) for facts in locations(height, width)]
    return lambda levels: detection_loss(levels, boxes, labels, grid)


def locations(height: int, width: int) -> tuple[torch.Tensor, ...]:
    """Centres (P, 2), strides (P, 1) and ranges (P, 2) of the locations of all levels."""
    points, strides, ranges = [], [], []
    for stride, limits in zip(STRIDES, _RANGES, strict=True):
        y, x = (torch.arange(0, side, stride) + stride // 2 for side in (height, width))
        y, x = torch.meshgrid(y, x, indexing="ij")
        points.append(torch.stack([x.ravel(), y.ravel()], 1).float())
        strides.append(torch.full((y.numel(), 1), float(stride)))
        ranges.append(torch.tensor(limits).expand(y.numel(), 2))
    return torch.cat(points), torch.cat(strides), torch.cat(ranges)


def detection_loss(
    levels: Levels, boxes: torch.Tensor, labels: torch.Tensor, grid: list[torch.Tensor]
) -> torch.Tensor:
    """Focal loss, GIoU loss weighed by centre-ness, cross-entropy of the centre-ness.

    Args:
        levels: of the network.
        boxes: (N, M, 4), corners in pixels.
        labels: (N, M).
        grid: of `locations`.
    """
    logits, found, centre = (
        torch.cat([part.float().permute(0, 2, 3, 1).flatten(1, 2) for part in parts], 1)
        for parts in zip(*levels, strict=True)
    )
    points, strides, ranges = grid
    # (N, P, M, 4): from every location to the sides of every box.
    sides = torch.cat(
        [points[:, None] - boxes[:, None, :, :2], boxes[:, None, :, 2:] - points[:, None]], -1
    )
    farthest = sides.amax(-1)
    middle = (boxes[:, None, :, :2] + boxes[:, None, :, 2:]) / 2
    off_centre = (points[:, None] - middle).abs().amax(-1)
    fits = (sides.amin(-1) > 0) & (farthest >= ranges[:, :1]) & (farthest <= ranges[:, 1:])
    fits &= off_centre < _RADIUS * strides
    area = (boxes[..., 2:] - boxes[..., :2]).prod(-1)
    chosen = torch.where(fits, area[:, None], float("inf")).argmin(-1)
    positive = fits.any(-1)
    label = labels.gather(1, chosen)
    wanted = sides.gather(2, chosen[..., None, None].expand(-1, -1, 1, 4))[:, :, 0]

    target = functional.one_hot(label, logits.shape[-1]) * positive[..., None]
    cross = functional.binary_cross_entropy_with_logits(logits, target.float(), reduction="none")
    p = torch.sigmoid(logits)
    missed = torch.where(target > 0, 1 - p, p)
    weight = torch.where(target > 0, _ALPHA, 1 - _ALPHA)
    focal = (weight * missed**_GAMMA * cross).sum()

    ones = torch.ones((), device=logits.device)
    wanted = torch.where(positive[..., None], wanted, ones)
    found = torch.where(positive[..., None], found, ones)
    near, far = (f(wanted[..., :2], wanted[..., 2:]) for f in (torch.minimum, torch.maximum))
    central = (near / far).prod(-1).sqrt() * positive
    inner, outer = torch.minimum(found, wanted), torch.maximum(found, wanted)
    inside, around, *areas = (
        (d[..., :2] + d[..., 2:]).prod(-1) for d in (inner, outer, found, wanted)
    )
    union = areas[0] + areas[1] - inside
    giou = inside / (union + _TINY) - (around - union) / (around + _TINY)
    box = (central * (1 - giou)).sum() / central.sum().clamp(min=_TINY)
    centre = functional.binary_cross_entropy_with_logits(
        centre[..., 0], central, weight=positive.float(), reduction="sum"
    )
    return (focal + centre) / positive.sum().clamp(min=1) + box
