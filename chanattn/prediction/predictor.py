"""A trained network, and its answers on pictures of one's own."""

import dataclasses
import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import flax.linen as nn
import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from chanattn import data, tasks
from chanattn.class_names import check_distinct, told_apart
from chanattn.data.batches import EvaluationBatches
from chanattn.data.corrupt import why_unreadable
from chanattn.data.decode import Decoding, decode
from chanattn.data.fields import PLACE, Whereabouts
from chanattn.data.fit import image_size
from chanattn.data.pipeline import evaluation_batch
from chanattn.data.placement import AXIS, local_rows, put_batch, replicated
from chanattn.data.source import ImageShape, Record
from chanattn.data.sources.own_pictures import OwnPictures, Picture
from chanattn.data.stream import stream
from chanattn.errors import UsageError
from chanattn.layers import kernels
from chanattn.paths import to_path
from chanattn.prediction.sheet import sheet
from chanattn.runs.classes import read_classes
from chanattn.runs.environment import Environment
from chanattn.runs.layout import CHECKPOINTS, ENVIRONMENT
from chanattn.training import mesh as meshes
from chanattn.training import process
from chanattn.training.checkpoint import Checkpoints
from chanattn.training.evaluate import choose_step, conditions, restored, with_overrides
from chanattn.training.evaluate_weights import check_hub, imported, read_state
from chanattn.training.run_directory import read_config
from chanattn.training.state import Weights
from chanattn.training.views import network_of


class Unreadable(UsageError):
    """A picture that cannot be read.

    Attributes:
        picture: the file, or its place among those given.
        reason: what is wrong with it.
    """

    def __init__(self, picture: str, reason: str) -> None:
        super().__init__(f"picture {picture} cannot be read ({reason})")
        self.picture, self.reason = picture, reason


@dataclasses.dataclass(frozen=True)
class _Trained:
    """A network with its weights.

    Attributes:
        config: of the run, changed as asked for.
        mesh: the devices.
        model: the network.
        weights: of it, on the devices.
        image_shape: of the pictures of its data set as they are stored.
        class_names: in the order of the labels.
        origin: where the weights come from; JSON values.
    """

    config: ConfigDict
    mesh: Mesh
    model: nn.Module
    weights: Weights
    image_shape: ImageShape
    class_names: tuple[str, ...]
    origin: dict[str, Any]


class Predictor:
    """Answers of a trained network on pictures of one's own, which are prepared as those of its evaluation.

        predictor = chanattn.Predictor("runs/digits")
        predictor("three.png")                      # {"3": 0.998, "8": 0.001, ...}
        predictor([array, encoded, "three.png"])    # a list of three
        predictor("street.png")["label_map"]        # of a segmentation: (H, W) class numbers, as the picture
        predictor("blood.png")["objects"]           # of a detection: class, score and box of each
        predictor("photo.jpg")["caption"]           # of a captioning; log_p of it, and its words as a list

    The code is that of the evaluation: pictures of the size that the network was trained on are taken as they
    are, others are cropped to its shape around their centre (to `dataset.augment.eval_crop` of that, if the
    pictures of its own data set differ in size) and resized; or, for tasks whose answers lie at places of the
    picture, resized whole and padded, and the answers brought back to the size of the picture. So pictures of
    all sizes take one program. Colours, depth and orientation are treated as
    there: transparency and the EXIF orientation are ignored, of several frames the first is taken, 16 bits
    become 8.

    Attributes:
        config: of the run.
        task: what is predicted.
        class_names: in the order of the labels.
        origin: where the weights come from; JSON values.
    """

    def __init__(
        self,
        run: str | os.PathLike[str],
        *,
        step: int | str | None = None,
        ema: bool | None = None,
        **overrides: Any,
    ) -> None:
        """The network of a run; the data set need not be there.

        Args:
            run: the run directory.
            step: as in `chanattn.training.evaluate.evaluate_run`.
            ema: as there.
            **overrides: config fields to change by their dotted path, such as `{"platform": "cpu"}`.

        Raises:
            UsageError: there is no such run or checkpoint, the checkpoint is damaged, or the run is of an
                earlier version that does not say what its pictures are like, and its data set is absent.
        """
        self._take(_of_run(to_path(run), step, ema, overrides))

    @classmethod
    def from_weights(
        cls,
        config: ConfigDict,
        file: str | os.PathLike[str],
        *,
        class_names: Sequence[str] | None = None,
        allow_pickle: bool = False,
        **overrides: Any,
    ) -> Self:
        """The network of a config with weights from elsewhere.

        Args:
            config: its network and the preparation of its pictures matter.
            file: as in `chanattn.training.evaluate_weights.evaluate_weights`.
            class_names: in the order of the outputs, each of those that are alike with its number behind it;
                None: those of the config's data set.
            allow_pickle: as there.
            **overrides: config fields to change by their dotted path.

        Raises:
            UsageError: the config or the file cannot be used, the weights are not those of the network, or
                the names of the classes, or the size of the pictures, are unknown.
        """
        predictor = object.__new__(cls)
        predictor._take(_of_file(config, file, class_names, allow_pickle, overrides))
        return predictor

    def _take(self, trained: _Trained) -> None:
        self._trained = trained
        self.config = trained.config
        self.class_names = trained.class_names
        self.origin = trained.origin
        self.task = tasks.create(trained.config.task)
        self._program = jax.jit(self._answer, out_shardings=replicated(trained.mesh))

    def __call__(
        self, images: Picture | Sequence[Picture], most: int | None = None
    ) -> dict[str, Any] | list[dict[str, Any]]:
        """The answer on a picture, or those on several.

        Args:
            images: paths, encoded pictures as bytes, or arrays (H, W, 3) uint8 in RGB or (H, W) in grey;
                one, or a sequence. Whatever NumPy makes such an array of is one, as an image of Pillow.
            most: how many of the best to tell of each; None: all.

        Returns:
            What the task tells: for classification the probabilities by class, the largest first; for
            segmentation `label_map` (H, W) of class numbers and the `shares` of the classes; for detection
            `objects`, the best first, with boxes in pixels of the picture, and arrays of all detections; for
            captioning `caption`, its `log_p` and its `words`, and of each word and the end what the network
            told of its attention (`chanattn.tasks.captioning.Captioning.predict`).

        Raises:
            Unreadable: a picture cannot be read; `answers` goes on in that case.
            UsageError: something is no picture, or the task cannot predict, or not as many as `most`.
        """
        given: Any = images
        several = [given] if _is_one(given) else list(given)
        found = []
        for answer in self.answers(several, most):
            if isinstance(answer, Unreadable):
                raise answer
            found.append(answer)
        return found[0] if _is_one(images) else found

    def answers(
        self, images: Sequence[Picture], most: int | None = None
    ) -> Iterator[dict[str, Any] | Unreadable]:
        """The answers in order, as they are found; an error in place of one on a picture that is unreadable.

        Args:
            images: as in `__call__`, a sequence.
            most: as in `__call__`.
        """
        yield from self.answers_on(self._source(images), most)

    def answers_on(
        self, source: OwnPictures, most: int | None = None
    ) -> Iterator[dict[str, Any] | Unreadable]:
        """As `answers`, on pictures that are treated as those of the data set that the source says."""
        config, mesh = self._trained.config, self._trained.mesh
        if not len(source):
            return
        fit = data.fit_of_any_size(config.dataset, source)
        size = self._batch_size(len(source))
        batches = EvaluationBatches(source, fit, batch_size=size, rows=local_rows(size, mesh))
        with Decoding(), closing(stream(batches, 0, len(batches), 0)) as host_batches:
            for number in range(len(batches)):
                batch = {name: np.array(rows) for name, rows in next(host_batches).items()}
                places = batch.pop(PLACE)
                if self.task.scored_as_stored:
                    batch[PLACE] = places.astype(np.float32)
                del batch["corrupt"]
                with kernels.chosen(config.kernels):
                    found = self._program(self._trained.weights, put_batch(batch, size, mesh))
                columns = jax.device_get(found)
                for row in range(min(size, len(source) - number * size)):
                    index = number * size + row
                    if batch["mask"][row]:
                        answer = {name: column[row] for name, column in columns.items()}
                        placement = Whereabouts.placement(places[row], fit.shape[:2])
                        stored = self.task.at_stored_size(answer, placement)
                        yield self.task.told(stored, self.class_names, most)
                    else:
                        reason = why_unreadable(source, fit, index) or "it can be read now"
                        yield Unreadable(source.describe(index), reason)

    def draw(self, image: Picture, answer: dict[str, Any]) -> np.ndarray:
        """A picture with its answer, as the task draws it, and a legend: (H, W, 3) uint8.

        Args:
            image: as in `__call__`, one.
            answer: what `answers` gave.
        """
        source = self._source([image])
        (record,) = source.read([0])
        if not isinstance(record, Record):
            raise Unreadable(source.describe(0), record.strerror or str(record))
        drawn = self.task.draw({"image": in_colours(record)}, answer)
        return sheet([drawn], self.task.legend(self.class_names))

    def conditions(self, pictures: int) -> dict[str, Any]:
        """How the answers on so many pictures are computed; JSON values."""
        with kernels.chosen(self.config.kernels):
            how = conditions(self.config, self._trained.mesh)
        return how | {"batch_size": self._batch_size(pictures)}

    def _batch_size(self, pictures: int) -> int:
        """Small for few pictures: a power of two, because each size is compiled."""
        size = min(self.config.batch_size, 1 << (pictures - 1).bit_length())
        devices: int = self._trained.mesh.shape[AXIS]
        return -(-size // devices) * devices

    def _source(self, images: Sequence[Picture]) -> OwnPictures:
        pictures = [_picture(image) for image in images]
        whole = self.task.placed
        shape = self._trained.image_shape
        return OwnPictures(pictures, shape, self.class_names, keep_whole=whole)

    def _answer(self, weights: Weights, feed: data.Batch) -> dict[str, jax.Array]:
        batch = evaluation_batch(feed, self.config.dataset)
        model = self._trained.model
        outputs = network_of(model, self.task)(weights, batch["image"], batch)
        return self.task.predict(model, weights, outputs, batch)


def in_colours(record: Record) -> np.ndarray:
    """The picture of a record as it is stored: (H, W, 3) uint8."""
    pixels = decode(record.image, 3) if isinstance(record.image, bytes) else record.image
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3))


def _is_one(images: Any) -> bool:
    if isinstance(images, list | tuple):
        return False
    return isinstance(images, str | os.PathLike | bytes) or np.asarray(images).ndim < 4


def _picture(image: Any) -> Picture:
    return image if isinstance(image, str | os.PathLike | bytes) else np.asarray(image)


@process.as_before()
def _of_run(
    run: Path, step: int | str | None, ema: bool | None, overrides: dict[str, Any]
) -> _Trained:
    trained = read_config(run)
    config = with_overrides(trained, overrides)
    with Checkpoints(run / CHECKPOINTS, read_only=True) as checkpoints:
        step = choose_step(run, checkpoints, step)
        environment, names = Environment.read(run), read_classes(run)
        shape = environment.image_shape if environment else None
        if shape is None or names is None:
            stored = _stored(config, f"{run / ENVIRONMENT} does not say what its pictures are like")
            shape, names = shape or stored.shape, names or stored.class_names
        mesh = meshes.setup(config)
        model = tasks.network(config, len(names))
        weights, kind = restored(
            checkpoints, step, trained, ema, model, _input(config, shape), mesh
        )
    origin = {"run": str(run), "step": step, "weights": kind}
    return _Trained(config, mesh, model, weights, shape, names, origin)


@process.as_before()
def _of_file(
    config: ConfigDict,
    file: str | os.PathLike[str],
    class_names: Sequence[str] | None,
    allow_pickle: bool,
    overrides: dict[str, Any],
) -> _Trained:
    config = with_overrides(config, overrides)
    state = read_state(file, allow_pickle)
    if class_names is not None:
        class_names = told_apart(class_names)
    if class_names is None or not image_size(config.dataset.image_size):
        stored = _stored(
            config, "the names of the classes and the size of the pictures are unknown"
        )
        shape, names = stored.shape, tuple(class_names or stored.class_names)
    else:
        shape, names = _shape_if_known(config), tuple(class_names)
    check_distinct(names)
    data.check_num_classes(config, names)
    mesh = meshes.setup(config)
    model = tasks.network(config, len(names))
    check_hub(config, file, model)
    weights = imported(model, state, _input(config, shape), mesh)
    origin = {"file": str(file), "model": config.model.name, "weights": "imported"}
    return _Trained(config, mesh, model, weights, shape, names, origin)


def _stored(config: ConfigDict, unknown: str) -> data.Stored:
    """What the data set says, where nothing else does."""
    try:
        return data.stored(config, tasks.create(config.task).fields)
    except UsageError as error:
        raise UsageError(f"{unknown}, and its data set does not either: {error}") from error


def _shape_if_known(config: ConfigDict) -> ImageShape:
    """Of the data set of a config that says itself to which size pictures come; any where that is absent."""
    try:
        return data.stored(config, tasks.create(config.task).fields).shape
    except UsageError:
        return None, None, 3


def _input(config: ConfigDict, shape: ImageShape) -> tuple[int, int, int]:
    """(H, W, 3) of what the network is given."""
    size = image_size(config.dataset.image_size) or shape[:2]
    height, width = size
    assert height is not None
    assert width is not None
    return height, width, 3
