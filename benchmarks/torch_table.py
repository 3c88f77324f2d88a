"""The digits table of `configs/ablations/mechanisms.py` as a plain PyTorch script: the peer of `table`.

    TORCH/bin/python -m benchmarks.torch_table --data=DIGITS.npz --variants=none,se --seeds=0,1 --processes=1

What somebody would write who wants this one table: pictures in memory, one loop, eager modules. Networks,
steps, batches, augmentation, optimizer, evaluations and checkpoints are those of the recipe; initial values
and random numbers are PyTorch's. It prints a JSON object: for every variant its parameters and the top-1
accuracy of each seed. Imports torch, numpy and what comes with Python.
"""

import argparse
import json
import math
import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

MEAN, STD = 0.305, 0.376
EPOCHS, BATCH, WARMUP_EPOCHS = 24, 64, 1
RATE, MOMENTUM, DECAY = 0.1, 0.9, 1e-4
EVAL_EVERY, SAVE_EVERY, LOG_EVERY = 88, 528, 22


class Bottleneck(nn.Sequential):
    """W2 relu(W1 s + b1) + b2, the width C / 16."""

    def __init__(self, channels: int) -> None:
        width = max(channels // 16, 1)
        super().__init__(nn.Linear(channels, width), nn.ReLU(), nn.Linear(width, channels))


class SE(nn.Module):
    """Squeeze-and-excitation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = Bottleneck(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) reweighted."""
        return x * self.mix(x.mean((2, 3))).sigmoid()[:, :, None, None]


class ECA(nn.Module):
    """Efficient channel attention; three taps up to 64 channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) reweighted."""
        return x * self.conv(x.mean((2, 3))[:, None]).sigmoid()[:, 0, :, None, None]


class CBAM(nn.Module):
    """Channel attention from mean and maximum, then spatial attention."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = Bottleneck(channels)
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.norm = nn.BatchNorm2d(1, momentum=0.01)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) reweighted."""
        logits = self.mix(x.mean((2, 3))) + self.mix(x.amax((2, 3)))
        x = x * logits.sigmoid()[:, :, None, None]
        maps = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)
        return x * self.norm(self.conv(maps)).sigmoid()


class SimAM(nn.Module):
    """Weights from an energy function, without parameters."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) reweighted."""
        distance = (x - x.mean((2, 3), keepdim=True)).square()
        variance = distance.sum((2, 3), keepdim=True) / max(x.shape[2] * x.shape[3] - 1, 1)
        return x * (distance / (4 * (variance + 1e-4)) + 0.5).sigmoid()


class GlobalContext(nn.Module):
    """Positions pooled by a softmax, a bottleneck with a layer norm, added to every position."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = max(channels // 16, 4)
        self.mask = nn.Conv2d(channels, 1, 1)
        self.transform = nn.Sequential(
            nn.Linear(channels, width), nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, channels)
        )
        nn.init.zeros_(self.transform[3].weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) with the context added."""
        shares = self.mask(x).flatten(2).softmax(2)
        context = (x.flatten(2) @ shares.mT).squeeze(2)
        return x + self.transform(context)[:, :, None, None]


ATTENTION: dict[str, type[nn.Module]] = {
    "none": nn.Identity,
    "se": SE,
    "eca": ECA,
    "cbam": CBAM,
    "simam": SimAM,
    "gc": GlobalContext,
}


class Block(nn.Module):
    """Two 3x3 convolutions; the shortcut is strided, its new channels zero."""

    def __init__(self, attention: str, inputs: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(planes)
        gate = ATTENTION[attention](planes)
        self.before_norm = gate if attention == "simam" else nn.Identity()
        self.attention = nn.Identity() if attention == "simam" else gate
        self.extra, self.stride = planes - inputs, stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, I, H, W) -> (N, planes, H / stride, W / stride)."""
        y = functional.relu(self.norm1(self.conv1(x)), inplace=True)
        y = self.attention(self.norm2(self.before_norm(self.conv2(y))))
        if self.extra:
            x = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra))
        return functional.relu(y + x, inplace=True)


def network(attention: str) -> nn.Module:
    """ResNet-8 for small pictures."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, 16, 3, 1, 1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(inplace=True),
        Block(attention, 16, 16, 1),
        Block(attention, 16, 32, 2),
        Block(attention, 32, 64, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    ]
    for module in nn.Sequential(*layers).modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
    return nn.Sequential(*layers)


def rate_at(step: int, steps: int, warmup: int) -> float:
    """Linear warm-up, then a cosine."""
    if step < warmup:
        return RATE * (step + 1) / warmup
    return RATE * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))) / 2


def crop(images: torch.Tensor) -> torch.Tensor:
    """Each padded by one pixel, and cut out at random."""
    n, _, h, w = images.shape
    padded = functional.pad(images, (1, 1, 1, 1))
    dy, dx = torch.randint(3, (2, n))
    rows = dy[:, None] + torch.arange(h)
    columns = dx[:, None] + torch.arange(w)
    return padded[
        torch.arange(n)[:, None, None, None],
        torch.arange(images.shape[1])[None, :, None, None],
        rows[:, None, :, None],
        columns[:, None, None, :],
    ]


def train(attention: str, seed: int, data: dict[str, torch.Tensor], folder: Path) -> dict[str, Any]:
    """One run; its parameters and top-1 accuracy."""
    torch.manual_seed(seed)
    model = network(attention)
    decaying = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.SGD(
        [{"params": decaying, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}],
        RATE,
        MOMENTUM,
        nesterov=True,
        fused=True,
    )
    images, labels = data["train_images"], data["train_labels"]
    per_epoch = len(images) // BATCH
    steps, warmup = EPOCHS * per_epoch, WARMUP_EPOCHS * per_epoch
    accuracy, losses = 0.0, torch.zeros(())
    with (folder / f"{attention}-{seed}.jsonl").open("w", encoding="utf-8") as log:
        for step in range(steps):
            if step % per_epoch == 0:
                order = torch.randperm(len(images))
            chosen = order[step % per_epoch * BATCH :][:BATCH]
            for group in optimizer.param_groups:
                group["lr"] = rate_at(step, steps, warmup)
            # The padding is black, which is 0 before the pictures are normalised.
            batch = (crop(images[chosen]) - MEAN) / STD
            optimizer.zero_grad(set_to_none=True)
            loss = functional.cross_entropy(model(batch), labels[chosen])
            loss.backward()
            optimizer.step()
            losses += loss.detach()
            done = step + 1
            if done % LOG_EVERY == 0:
                log.write(json.dumps({"step": done, "loss": losses.item() / LOG_EVERY}) + "\n")
                losses.zero_()
            if done % EVAL_EVERY == 0 or done == steps:
                accuracy = evaluate(model, data)
                log.write(json.dumps({"step": done, "top1": accuracy}) + "\n")
            if done % SAVE_EVERY == 0 or done == steps:
                state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
                torch.save(state, folder / f"{attention}-{seed}-{done}.pt")
    return {"parameters": sum(p.numel() for p in model.parameters()), "top1": accuracy}


def evaluate(model: nn.Module, data: dict[str, torch.Tensor]) -> float:
    """Top-1 accuracy on the test split."""
    model.eval()
    with torch.inference_mode():
        logits = model((data["test_images"] - MEAN) / STD)
        found = (logits.argmax(1) == data["test_labels"]).float().mean().item()
    model.train()
    return found


def work(
    runs: list[tuple[str, int]], path: str, threads: int, folder: Path
) -> list[tuple[str, dict[str, Any]]]:
    """Runs one after another, in one process that has read the data once."""
    torch.set_num_threads(threads)
    with np.load(path) as stored:
        data = {name: torch.from_numpy(stored[name]) for name in stored.files}
    return [(variant, train(variant, seed, data, folder)) for variant, seed in runs]


def main() -> None:
    """Trains all runs and prints the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--variants", default=",".join(ATTENTION))
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2, help="of each process")
    given = parser.parse_args()
    start = time.perf_counter()
    runs = [(v, int(s)) for v in given.variants.split(",") for s in given.seeds.split(",")]
    shares = [runs[i :: given.processes] for i in range(given.processes)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        calls = [(share, given.data, given.threads, folder) for share in shares]
        if given.processes == 1:
            done = [work(*calls[0])]
        else:
            with multiprocessing.get_context("spawn").Pool(given.processes) as pool:
                done = pool.starmap(work, calls, chunksize=1)
    table: dict[str, Any] = {}
    for variant, found in (each for share in done for each in share):
        row = table.setdefault(variant, {"parameters": found["parameters"], "top1": []})
        row["top1"].append(found["top1"])
    for row in table.values():
        row["mean"] = statistics.mean(row["top1"])
    print(
        json.dumps(
            {
                "torch": torch.__version__,
                "threads": given.threads,
                "seconds": time.perf_counter() - start,
                "variants": table,
            }
        )
    )


if __name__ == "__main__":
    main()
