"""Captions from a source to a batch: counted, cut, drawn; what has none is told."""

import contextlib
import os
import pickle
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chanattn import data
from chanattn.data.batches import TrainingBatches
from chanattn.data.captions import Captions, with_own_vocabulary, with_vocabulary, written
from chanattn.data.fields import Placement
from chanattn.data.fit import Fit
from chanattn.data.pipeline import one_of
from chanattn.data.sources import open_source
from chanattn.data.vocabulary import SPECIAL, UNKNOWN, Vocabulary, decode
from chanattn.errors import UsageError
from chanattn.runs.classes import write_classes
from chanattn.training.run_directory import check_classes
from configs import base
from tests.conftest import ROOT

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
SHALOM = "\u05e9\u05dc\u05d5\u05dd"
TO = Placement((4, 4), (4, 4))


class Told:
    """Pictures of which the captions are known."""

    def __init__(self, *captions):
        self._captions = captions
        self.fields = {"captions": Captions()}
        self.note = "3 entries passed over"
        self.class_names = ()

    def __len__(self):
        return len(self._captions)

    def captions_of(self, index):
        return self._captions[index]


def dataset(**fields):
    d = base.get_config().dataset
    d.update({"least_count": 1, "most_words": 4, **fields})
    return d


def test_a_training_split_counts_its_words_and_what_is_left_out() -> None:
    source = Told(["A dog.", "the dog runs"], [], ["?", ""], ["a cat on a mat", "..."])
    with_own_vocabulary(source, dataset(least_count=2))
    known = Vocabulary(("a", "dog"))
    assert source.fields == {"captions": Captions(known, 2, 4)}
    assert source.class_names == known.names
    assert source.note == (
        "3 entries passed over; pictures without a caption, from which nothing is learnt: 2; captions without"
        " words, left out: 3; captions cut behind config.dataset.most_words=4 words: 1"
    )
    first = Told(["A dog.", "the dog runs"], ["?", "cats"])
    with_own_vocabulary(first, dataset(most_captions=1))
    assert first.fields == {"captions": Captions(Vocabulary(("a", "cats", "dog")), 1, 4)}
    assert first.note.endswith("; captions without words, left out: 1")
    quiet = Told(["a dog"])
    quiet.note = ""
    with_own_vocabulary(quiet, dataset())
    assert quiet.note == ""


def test_an_evaluation_tells_words_by_the_numbers_of_the_training() -> None:
    known = Vocabulary(("a", "dog"))
    source = Told(["!", "zebras gallop"], ["a dog", "a cat"], [])
    with_vocabulary(source, dataset(), "test", known.names)
    kind = source.fields["captions"]
    assert kind == Captions(known, 1, 4)
    assert source.class_names == known.names
    found = [kind.load(source.captions_of(index), TO)[""].tolist() for index in range(3)]
    assert found == [[[1, UNKNOWN, UNKNOWN, 2, 0, 0]], [[1, 4, 5, 2, 0, 0]], [[0] * 6]]
    assert [written(source, index) for index in range(3)] == [
        ("zebras gallop",),
        ("a dog", "a cat"),
        (),
    ]
    with pytest.raises(UsageError, match="the classes cat, dog, ... are no vocabulary"):
        with_vocabulary(source, dataset(), "test", ["cat", "dog"])


def test_emoji_and_right_to_left_text_are_kept_whole() -> None:
    text = f"{FAMILY} {SHALOM} \u202bcaf\u00e9\u202c"
    source = Told([text, "CAFE\u0301"])
    with_own_vocabulary(source, dataset())
    kind = source.fields["captions"]
    (tokens, other) = kind.load(source.captions_of(0), TO)[""]
    assert decode(tokens, source.class_names)[:2] == [FAMILY, SHALOM]
    assert decode(other, source.class_names) == ["caf\u00e9"]  # composed, as its other spelling
    assert written(source, 0)[0] == text


@pytest.mark.parametrize("captions", [[], [[], []], [["?!"], ["\u200f", ""]]])
def test_a_split_without_captions_is_refused(captions) -> None:
    message = "pictures of the split 'SPLIT' has a caption with words: choose another split"
    source = Told(*captions)
    with pytest.raises(UsageError, match=message):
        with_own_vocabulary(source, dataset(split="SPLIT"))
    with pytest.raises(UsageError, match=message):
        with_vocabulary(source, dataset(), "SPLIT", SPECIAL)


def test_words_that_are_all_too_rare_are_refused() -> None:
    with pytest.raises(UsageError, match="none of the 2 words .* occurs 9 times: .*least_count"):
        with_own_vocabulary(Told(["a dog"]), dataset(least_count=9))


CAPTIONS = jnp.asarray(
    [[[1, 5, 2], [1, 6, 2], [1, 7, 2]], [[1, 8, 2], [0] * 3, [0] * 3], [[0] * 3] * 3]
)


def test_a_caption_is_drawn_by_key_and_picture_alone() -> None:
    draw = jax.jit(one_of)
    index, key = jnp.asarray([4, 0, 9]), jax.random.key(0)
    found = draw(key, CAPTIONS, index)
    assert found[0].tolist() in CAPTIONS[0].tolist()
    assert found[1].tolist() == [1, 8, 2]
    assert found[2].tolist() == [0, 0, 0]  # of a picture without captions nothing is learnt
    # The place in the batch, and what else is in it, have no influence; so neither have devices.
    other = jnp.asarray([2, 0, 1])
    np.testing.assert_array_equal(draw(key, CAPTIONS[other], index[other]), found[other])
    same = jnp.broadcast_to(CAPTIONS[0], (600, 3, 3))
    drawn = np.asarray(draw(key, same, jnp.arange(600)))[:, 1]
    assert (np.bincount(drawn, minlength=8)[5:] > 160).all()
    again = np.asarray(draw(jax.random.key(1), same, jnp.arange(600)))[:, 1]
    assert 0.5 < (again != drawn).mean() < 0.8


@pytest.mark.parametrize("loader", ["device", "stream"])
def test_the_captions_of_a_step_are_the_same_when_a_training_goes_on(
    loader, mesh, make_config
) -> None:
    config = make_config("shapes", 20, split="train[:100]", image_size=32, loader=loader)
    config.dataset.least_count = 1

    def steps(first: int) -> list[np.ndarray]:
        with data.training(config, mesh, ["captions"]) as train:
            assert train.num_classes == 23
            prepare = jax.jit(lambda feed, step: train.prepare(feed, step, jax.random.key(step)))
            feeds = zip(range(first, 12), train.feeds(first), strict=False)
            batches = [jax.device_get(prepare(feed, jnp.int32(step))) for step, feed in feeds]
            names = train.class_names
            source = train.source
        for batch in batches:
            for index, tokens in zip(batch["index"], batch["tokens"], strict=True):
                assert " ".join(decode(tokens, names)) in source.captions_of(index)
        return [batch["tokens"] for batch in batches]

    whole = steps(0)
    np.testing.assert_array_equal(whole[7:], steps(7))
    assert (np.sort(whole[:5], axis=None) != np.sort(whole[5:10], axis=None)).any()


def test_worker_processes_tell_captions_by_the_same_numbers(make_config) -> None:
    source = open_source(make_config("shapes", image_size=32).dataset, "train[:30]", ["captions"])
    with_own_vocabulary(source, dataset())
    fit = Fit((32, 32, 3), resize=False)
    batches = TrainingBatches(source, fit, batch_size=8, rows=np.arange(8), seed=0, max_corrupt=0)
    here, there = batches[2], pickle.loads(pickle.dumps(batches))[2]
    np.testing.assert_array_equal(here["captions"], there["captions"])
    assert here["captions"].shape == (8, 2, 6)


def test_a_run_goes_on_with_its_own_vocabulary_alone(tmp_path) -> None:
    names = Vocabulary(("a", "dog", "runs")).names
    write_classes(tmp_path, names)
    (tmp_path / "checkpoints" / "1").mkdir(parents=True)
    assert check_classes(tmp_path, names)
    for other, difference in (
        (("a", "cat", "runs"), "new: 'cat'; absent: 'dog'"),
        (("a", "dog"), "6 words instead of 7; absent: 'runs'"),
        (("dog", "a", "runs"), "in another order: word 4 is 'dog' instead of 'a'"),
    ):
        with pytest.raises(UsageError, match=f"the vocabulary of the captions .*{difference}") as e:
            check_classes(tmp_path, Vocabulary(other).names)
        assert "class" not in str(e.value)
        assert "\n" not in str(e.value)


def test_captions_of_a_real_set(mesh, make_config, tfds_dir) -> None:
    if not (tfds_dir / "coco_mini").is_dir():
        pytest.skip(f"no coco_mini in {tfds_dir}")
    splits = {"split": "train+train_captions", "eval_split": "validation"}
    config = make_config("coco_mini", data_dir=str(tfds_dir), image_size=8, least_count=2, **splits)
    outline = data.outline(config, splits["split"], ["captions"])
    assert outline.num_examples == 235
    texts = [outline.source.captions_of(index) for index in range(235)]
    assert sum(map(len, texts)) == 1175
    again = pickle.loads(pickle.dumps(outline.source))
    assert [again.captions_of(index) for index in (0, 234)] == [texts[0], texts[234]]
    (record,) = again.read([7])
    assert record.fields["captions"] == texts[7]
    # Those of the paper's tokenizer are 841, and this one has the same on nearly all captions.
    assert abs(outline.num_classes - len(SPECIAL) - 841) <= 3
    with contextlib.closing(
        data.evaluation(config, mesh, batch_size=64, fields=["captions"], words=outline.class_names)
    ) as test:
        batches = [jax.device_get(feed) for feed in test.feeds()]
        assert test.class_names == outline.class_names
        assert sum(len(written(test.source, index)) for index in range(128)) == 641
    assert sum(int(batch["mask"].sum()) for batch in batches) == 128
    assert (batches[0]["captions"][:, 0, 0] == 1).all()
    with pytest.raises(UsageError, match="split 'train_boxes' has a caption with words") as error:
        data.outline(config, "train_boxes", ["captions"], outline.class_names)
    assert "\n" not in str(error.value)


DEVICES = """
import jax
import jax.numpy as jnp
import numpy as np
jax.config.update("jax_num_cpu_devices", 4)
from chanattn import data
from configs import base

config = base.get_config()
config.batch_size = 8
config.dataset.update(name="shapes", split="train[:16]", image_size=32, least_count=1)
found = []
for devices in (1, 4):
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:devices]), ("data",))
    with data.training(config, mesh, ["captions"]) as train:
        prepare = jax.jit(train.prepare)
        steps = zip(range(4), train.feeds(0), strict=False)
        batches = [prepare(feed, jnp.int32(step), jax.random.key(step)) for step, feed in steps]
        found.append(np.stack([jax.device_get(batch["tokens"]) for batch in batches]))
np.testing.assert_array_equal(*found)
"""


def test_any_number_of_devices_draws_the_same_captions() -> None:
    done = subprocess.run(
        [sys.executable, "-c", DEVICES],
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
