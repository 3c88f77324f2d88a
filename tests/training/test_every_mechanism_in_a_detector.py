"""Every mechanism in the backbone and in the pyramid of a detector: short trainings on drawn shapes."""

from typing import Any

import jax
import numpy as np
import optax
import pytest
from jax.sharding import Mesh

from chanattn import attention, tasks
from chanattn.config import get_config
from chanattn.data.sources.shapes import Shapes
from chanattn.models import ResNet
from chanattn.tasks.detection import Detection
from chanattn.training.state import create_state, make_init
from chanattn.training.step import make_train_step

STEPS, SIDE, PICTURES = 10, 32, 8


def places(name: str) -> list[str]:
    """One in the backbone, which is its own if a detector has that, and the laterals if it can be there."""
    description = attention.describe(name)
    own = "stage_end" if description.placement == "head" else description.placement
    return [own] if description.slot == "conv" else [own, "neck"]


def pictures() -> dict[str, np.ndarray]:
    """The first of the split, as a batch."""
    records = Shapes("train", (SIDE, SIDE), with_ground=False).read(range(PICTURES))
    images = np.float32([record.image for record in records])  # type: ignore[union-attr]
    corners, label = np.zeros((PICTURES, 2, 4), np.float32), np.full((PICTURES, 2), -1)
    for i, record in enumerate(records):
        stored = record.fields["boxes"]  # type: ignore[union-attr]
        corners[i, : len(stored.label)], label[i, : len(stored.label)] = stored[:2]
    return {
        "image": (images - 128) / 64,
        "mask": np.ones(PICTURES, np.float32),
        "index": np.arange(PICTURES),
        "boxes": corners,
        "boxes_label": np.int32(label),
        "boxes_crowd": np.zeros((PICTURES, 2), bool),
        "boxes_area": np.ones((PICTURES, 2), np.float32),
    }


def detector(name: str, place: str) -> tuple[ResNet, Detection]:
    """Two blocks, a pyramid of one level, and towers of one convolution."""
    config = get_config()
    config.task.update(name="detection", strides=(2,), ranges=(), tower=1, norm_groups=8)
    config.model.update(name="resnet8", head_width=64 if place == "neck" else 16)
    config.model.attention.update(name=name, placement=place)
    model = tasks.network(config, num_classes=5)
    assert isinstance(model, ResNet)
    task = tasks.create(config.task)
    assert isinstance(task, Detection)
    return model.clone(layers=(1, 1), planes=(16, 32)), task


@pytest.mark.soak
@pytest.mark.parametrize(
    ("name", "place"),
    [(name, p) for name in attention.names() if name != "identity" for p in places(name)],
)
def test_a_detector_learns_with_every_mechanism_in_backbone_and_pyramid(
    name: str, place: str, mesh: Mesh
) -> None:
    (model, task), batch = detector(name, place), pictures()
    schedule = optax.constant_schedule(3e-3)
    optimizer = optax.chain(optax.clip_by_global_norm(10.0), optax.adamw(schedule))
    init = make_init(model, optimizer, task, (SIDE, SIDE, 3), ema=False, mesh=mesh)
    state = create_state(init, 0)
    step = make_train_step(
        model, optimizer, schedule, task, lambda feed, step, key: feed, mesh=mesh, seed=0
    )
    losses = []
    for _ in range(STEPS):
        state, window = step(state, batch)
        losses.append(window.means()["loss"])
    assert np.isfinite(losses).all()
    assert min(losses[-2:]) < 0.9 * losses[0]

    @jax.jit
    def look(weights: Any) -> Any:
        return model.apply(weights, batch["image"][:2], mutable=["attention"])

    (outputs, _), sown = look(state.weights)
    weights = jax.tree.leaves(sown["attention"])
    assert weights
    assert all(np.isfinite(x).all() for x in jax.tree.leaves((state.params, outputs, weights)))
