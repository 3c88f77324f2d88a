"""Segmentation: loss and scores against PyTorch's and scikit-learn's, void pixels, parts of batches."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import parity
import pytest
from ml_collections import ConfigDict

from chanattn import data, models
from chanattn.config import get_config
from chanattn.errors import UsageError
from chanattn.models.heads import WithAuxiliary
from chanattn.tasks.segmentation import Segmentation, confusion, present, scores

CLASSES = 5


def batch_of(label_map: np.ndarray, mask: Any = None) -> dict[str, Any]:
    mask = np.ones(len(label_map), np.float32) if mask is None else np.float32(mask)
    return {"label_map": jnp.asarray(label_map, jnp.int32), "mask": jnp.asarray(mask)}


@pytest.mark.parametrize(
    ("name", "smoothing", "weighted"),
    [
        ("mean", 0.0, False),
        ("smooth", 0.1, False),
        ("weighted", 0.0, True),
        ("smooth_weighted", 0.1, True),
    ],
)
def test_the_loss_is_the_mean_over_the_valid_pixels_of_the_batch(
    golden: Path, name: str, smoothing: float, weighted: bool
) -> None:
    arrays = parity.load(golden / "tasks" / "seg_cross_entropy.npz")
    batch = batch_of(np.where(arrays["target"] == 255, -1, arrays["target"]))
    weights = tuple(map(float, arrays["class_weight"])) if weighted else ()
    task = Segmentation(label_smoothing=smoothing, weight_of_class=weights)

    def loss(x: jax.Array) -> jax.Array:
        return task.loss(x, batch)["loss"] / task.weights(batch)["loss"]

    y, dx = jax.value_and_grad(loss)(jnp.asarray(arrays["x"]))
    parity.assert_close(y, arrays[f"y_{name}"], parity.OUTPUT, name)
    parity.assert_close(dx, arrays[f"dx_{name}"], parity.OUTPUT, name)


def test_auxiliary_outputs_and_presence_add_their_losses_as_encnet_does(golden: Path) -> None:
    arrays = parity.load(golden / "tasks" / "seg_encnet_loss.npz")
    batch = batch_of(arrays["target"])
    task = Segmentation()
    np.testing.assert_array_equal(present(batch["label_map"], CLASSES), arrays["y_present"])

    def loss(x: jax.Array, x_aux: jax.Array, x_se: jax.Array) -> Any:
        terms = task.loss(WithAuxiliary(x, {"auxiliary": x_aux}, 0.4), batch)
        weights = task.weights(batch)
        found = {name: term / weights[name] for name, term in terms.items()}
        total, count = task.extra_losses({"presence": {"logits": x_se}}, batch)["presence"]
        found["presence"] = total / count
        return sum(found.values()), found

    inputs = [arrays[name] for name in ("x", "x_aux", "x_se")]
    derivatives = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True))
    (y, terms), gradients = derivatives(*inputs)
    for ours, name in (
        (y, "y"),
        (terms["loss"], "y_main"),
        (terms["auxiliary"] / 0.4, "y_aux"),
        (terms["presence"] / 0.2, "y_se"),
        *zip(gradients, ("dx", "dx_aux", "dx_se"), strict=True),
    ):
        parity.assert_close(ours, arrays[name], parity.OUTPUT, name)


def test_auxiliary_losses_are_those_of_the_whole_batch_and_weighted_by_the_config() -> None:
    rng = np.random.default_rng(0)
    task = Segmentation(auxiliary_weight=0.25)
    logits = np.float32(rng.normal(size=(4, 3, 2, CLASSES)))
    batch = jax.tree.map(np.asarray, batch_of(rng.integers(-1, CLASSES, (4, 3, 2)), [1, 1, 1, 0]))

    @jax.jit
    def learnt(x: Any, part: Any) -> Any:
        outputs = WithAuxiliary(x, {"a": x, "b": 2 * x}, 1.0)
        monitored = [task.monitor(each, part)["pixel_accuracy"] for each in (outputs, x)]
        return task.loss(outputs, part), monitored

    def terms(rows: slice) -> Any:
        found, monitored = learnt(logits[rows], {k: array[rows] for k, array in batch.items()})
        np.testing.assert_array_equal(*monitored)
        return found

    whole, halves = terms(slice(0, 4)), [terms(slice(0, 4, 2)), terms(slice(1, 4, 2))]
    for name, value in whole.items():
        np.testing.assert_allclose(sum(half[name] for half in halves), value, rtol=1e-6)
    doubled = jax.jit(task.loss)(2 * logits, batch)["loss"]
    np.testing.assert_allclose(whole["auxiliary"], 0.25 * (whole["loss"] + doubled), rtol=1e-6)
    assert task.weights(batch)["auxiliary"] == task.weights(batch)["loss"]


def test_scores_are_those_of_scikit_learn(golden: Path) -> None:
    arrays = parity.load(golden / "tasks" / "seg_mean_iou.npz")
    label = np.where(arrays["label"] == 255, -1, arrays["label"])
    logits = jax.nn.one_hot(arrays["prediction"], 7)
    # A half of the pictures, then the other with one of padding, which holds anything.
    parts = [(slice(0, 2), None), (slice(1, 4), [0, 1, 1])]
    matrix = sum(
        np.asarray(confusion(logits[part], batch_of(label[part], mask))) for part, mask in parts
    )
    np.testing.assert_array_equal(matrix, arrays["y_confusion"])
    found = scores(matrix, [str(i) for i in range(7)])
    for ours, theirs in (
        (found["miou"], arrays["y_miou"]),
        (found["pixel_accuracy"], arrays["y_pixel_accuracy"]),
        (found["class_accuracy"], arrays["y_mean_accuracy"]),
        ([np.nan if v is None else v for v in found["per_class_iou"].values()], arrays["y_iou"]),
        (
            [np.nan if v is None else v for v in found["per_class_accuracy"].values()],
            arrays["y_class_accuracy"],
        ),
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_pictures_without_any_class_have_no_loss_and_no_scores() -> None:
    task, batch = Segmentation(), batch_of(np.full((2, 3, 4), -1))
    logits = jnp.ones((2, 3, 4, CLASSES))
    gradient = jax.jit(
        jax.grad(lambda x: task.loss(x, batch)["loss"] / task.weights(batch)["loss"])
    )(logits)
    assert not gradient.any()
    totals = jax.device_get(task.measure(logits, batch))
    names = tuple("abcde")
    found = task.results(totals, {}, names)
    assert found["void_pictures"] == 2
    assert {found[metric.name] for metric in task.metrics} == {None}
    assert found["per_class_iou"] == dict.fromkeys(names)
    of_classes = {"per_class_iou", "per_class_accuracy"}
    metrics = {metric.name for metric in task.metrics}
    assert task.results(totals, None, names).keys() == metrics | of_classes


def test_the_config_sets_the_smoothing_and_the_weights() -> None:
    fields = {"label_smoothing": 0.2, "auxiliary_weight": 0.3, "se_loss_weight": 0.1}
    fields |= {"class_weights": "enet", "dice_weight": 0.7, "lovasz_weight": 0.0}
    task = Segmentation.from_config(ConfigDict(fields))
    assert {name: getattr(task, name) for name in fields} == fields


# Of CamVid's training split, as published: median frequencies and those of ENet.
MEDIAN = [0.279, 0.202, 4.787, 0.149, 1.000, 0.422, 3.847, 1.974, 0.789, 6.375, 8.859]
ENET = [5.79, 4.44, 34.0, 3.45, 15.9, 9.02, 32.0, 32.5, 13.2, 38.4, 44.1]


def test_weights_of_classes_are_those_counted_elsewhere(tfds_dir: Path) -> None:
    if not (tfds_dir / "camvid").is_dir():
        pytest.skip(f"no real data sets in {tfds_dir} hold camvid")
    config = get_config()
    config.dataset.update(name="camvid", data_dir=str(tfds_dir))
    source = data.open_source(config.dataset, "train", ["label_map"])
    for kind, expected in (("median_frequency", MEDIAN), ("enet", ENET)):
        task = Segmentation(class_weights=kind).fitted(
            lambda: data.annotations(source), source.class_names
        )
        np.testing.assert_allclose(task.weight_of_class, expected, rtol=3e-3)


def test_a_class_without_a_pixel_has_no_weight() -> None:
    with pytest.raises(UsageError, match=r"class 'road' \(number 1\) has no pixel in"):
        Segmentation(class_weights="enet").fitted(
            lambda: [{"label_map": np.array([[0, 2, 255]])}], ("sky", "road", "car")
        )


@pytest.mark.parametrize("size", [1, 3, 8])
def test_scores_are_those_of_scikit_learn_whatever_the_parts(size: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(5)
    labels = rng.integers(-1, CLASSES, (8, 9, 7))
    logits = rng.normal(0, 1, (8, 9, 7, CLASSES)).astype(np.float32)
    matrix = np.zeros((CLASSES, CLASSES), np.int64)
    for start in range(0, 8, size):
        part = slice(start, start + size)
        filled = [len(labels[part]) > i for i in range(size)]
        padding = ((0, size - sum(filled)), *[(0, 0)] * 2)
        batch = batch_of(np.pad(labels[part], padding), filled)
        padded = np.pad(logits[part], (*padding, (0, 0)), constant_values=np.nan)
        matrix += np.asarray(confusion(jnp.asarray(padded), batch))
    valid = labels >= 0
    truth, predicted = labels[valid], logits.argmax(axis=-1)[valid]
    np.testing.assert_array_equal(matrix, metrics.confusion_matrix(truth, predicted))
    found = scores(matrix, [str(i) for i in range(CLASSES)])
    iou = metrics.jaccard_score(truth, predicted, average=None)
    assert list(found["per_class_iou"].values()) == pytest.approx(list(iou))
    assert found["miou"] == pytest.approx(iou.mean())


@pytest.mark.parametrize(("head", "size"), [("unet", (1, 1)), ("fpn", (37, 51))])
def test_any_size_is_learnt_and_a_batch_without_any_class_teaches_nothing(
    head: str, size: tuple[int, int]
) -> None:
    model = models.create("resnet8", num_classes=CLASSES, head=head, head_width=32)
    rng = np.random.default_rng(0)
    image = jnp.asarray(rng.normal(0, 1, (2, *size, 3)), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), image)
    draw = np.random.default_rng(1)
    variables = jax.tree.map(
        lambda leaf: jnp.asarray(draw.uniform(0.1, 0.3, leaf.shape)), variables
    )
    task = Segmentation(dice_weight=1.0, lovasz_weight=1.0)

    @jax.jit
    def loss(params: Any, label_map: jax.Array) -> Any:
        batch = {"label_map": label_map, "mask": jnp.ones(2)}
        (outputs, _), _ = model.apply(
            variables | {"params": params}, image, train=True, mutable=["batch_stats"]
        )
        weights = task.weights(batch)
        terms = {name: term / weights[name] for name, term in task.loss(outputs, batch).items()}
        return sum(terms.values()), task.monitor(outputs, batch)["pixel_accuracy"]

    gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))
    labels = jnp.asarray(rng.integers(-1, CLASSES, (2, *size)), jnp.int32).at[0, 0, 0].set(1)
    for label_map, learns in ((labels, True), (jnp.full_like(labels, -1), False)):
        (value, (_, pixels)), found = gradient(variables["params"], label_map)
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(found)]
        assert all(np.isfinite(leaf).all() for leaf in leaves)
        assert any(leaf.any() for leaf in leaves) == learns
        assert (float(value) > 0) == learns
        assert float(pixels) == int((label_map >= 0).sum())
