"""Captions under pictures: any text, any size, any number of words, with attention and without."""

import cv2
import numpy as np
import pytest
from PIL import ImageDraw

from chanattn.data.fields import Placement
from chanattn.data.vocabulary import END, Vocabulary
from chanattn.errors import UsageError
from chanattn.tasks.caption_pictures import ACROSS, SIDE, TILE, draw
from chanattn.tasks.captioning import Captioning

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (20, 30, 3), np.uint8)
NAMES = Vocabulary.of([["a", "red", "cat"]], 1).names


def told(words, **arrays):
    return {"caption": " ".join(words), "log_p": -1.0, "words": words, **arrays}


def maps(rows=21):
    return RNG.dirichlet(np.ones(12), rows).reshape(rows, 3, 4).astype(np.float32)


def channels(rows=21):
    return {
        "channels": RNG.integers(0, 64, (rows, 3)),
        "channel_weights": RNG.uniform(1, 4, (rows, 3)).astype(np.float32),
    }


@pytest.fixture
def written(monkeypatch):
    """The texts that are drawn, in their order."""
    texts = []
    text = ImageDraw.ImageDraw.text

    def noted(self, place, line, *args, **options):
        texts.append(line)
        return text(self, place, line, *args, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", noted)
    return texts


def test_the_caption_and_then_the_references_stand_below_the_picture(written):
    example = {"image": PICTURE, "captions": ["A red cat.", "one cat " * 20]}
    drawn = draw(example, told(["a", "cat"]))
    assert list(drawn) == [""]
    (picture,) = drawn.values()
    assert picture.dtype == np.uint8
    assert picture.shape[1] == SIDE
    assert written[:2] == ["a cat", "A red cat."]
    assert " ".join(written[2:]) == " ".join(["one cat"] * 20)
    assert len(written) > 4
    alone = draw({"image": PICTURE}, told([]))[""]
    assert written[-1] == "(no words)"
    assert alone.shape[0] < picture.shape[0]
    high = round(SIDE * 20 / 30)
    np.testing.assert_array_equal(alone[:high], picture[:high])


@pytest.mark.parametrize(
    "text",
    [
        "\U0001f642 \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea",
        "قطة حمراء",
        "שלום",
        "猫がいる",
        "$x_1$ \\ %\x00\n\ud800",
    ],
)
def test_every_script_is_drawn_or_replaced(text):
    words = text.split()
    drawn = draw({"image": PICTURE, "captions": [text] * 2}, told(words, looked=maps()))[""]
    assert drawn[round(SIDE * 20 / 30) :].min() < 255


def test_a_long_word_is_cut_in_lines_and_shortened_above_its_map(written):
    draw({"image": PICTURE}, told(["w" * 200], looked=maps()))
    lines = [text for text in written if set(text) == {"w"}]
    assert "".join(lines) == "w" * 200
    assert len(lines) > 1
    assert any(text.startswith("ww") and text.endswith("…") for text in written)


def test_every_word_and_the_end_have_a_map_and_channels_in_rows(written):
    words = [f"w{number}" for number in range(20)]
    shown = channels()
    many = draw({"image": PICTURE}, told(words, looked=maps(), **shown))[""]
    assert [text for text in written if text in (*words, "(end)")] == [*words, "(end)"]
    first = f"#{shown['channels'][0, 0]}  ×{shown['channel_weights'][0, 0]:.2f}"
    assert first in written
    assert sum(text.startswith("#") and "×" in text for text in written) == 21 * 3
    few = draw({"image": PICTURE}, told(words[:1], looked=maps(), **shown))[""]
    assert few.shape[1] == many.shape[1] > SIDE + ACROSS * TILE
    assert few.shape[0] < many.shape[0]
    written.clear()
    draw({"image": PICTURE}, told(words, looked=maps(20)))
    assert "(end)" not in written
    assert not any("×" in text for text in written)
    draw({"image": PICTURE}, told(words[:2], **shown))
    assert written[-1].startswith("#: strongest channels")


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (900, 3), (1500, 2000)])
def test_pictures_of_all_sizes_have_one_width(size):
    drawn = draw({"image": np.zeros((*size, 3), np.uint8)}, told(["a"], looked=maps()))[""]
    assert drawn.shape[1] == draw({"image": PICTURE}, told(["a"], looked=maps()))[""].shape[1]


def test_the_place_that_was_looked_at_is_bright_in_the_part_that_the_network_saw():
    picture = np.full((40, 80, 3), (60, 90, 30), np.uint8)
    picture[:, :20] = picture[:, 60:] = 255  # outside of that part
    looked = np.zeros((2, 4, 4), np.float32)
    looked[:, 0, 3] = 1
    part = np.array([20.0, 0.0, 60.0, 40.0])
    drawn = draw({"image": picture}, told(["a", "b"], looked=looked, part=part))[""]
    above = drawn[:, SIDE + 20 : SIDE + 20 + TILE]
    tile = above[cv2.cvtColor(above, cv2.COLOR_RGB2GRAY).min(axis=1) < 60][:TILE]
    corner, other = tile[10:20, -20:-10].mean(axis=(0, 1)), tile[-20:-10, 10:20].mean(axis=(0, 1))
    assert corner[1] > 80
    assert corner[1] > corner[0] > corner[2]  # in its colour
    assert np.ptp(other) == 0  # grey
    assert other[0] < 40


def test_a_crop_of_the_evaluation_is_told_in_pixels_of_the_stored_picture():
    task = Captioning(attention="spatial")
    cropped = Placement((100, 200), (50, 50), 0.0, 50.0, 0.5, 0.5)
    words = np.array([NAMES.index("cat"), END, 0])
    raw = {"words": words, "log_p": np.zeros(3), "looked": np.ones((3, 2, 2))}
    answer = task.at_stored_size(raw, cropped)
    found = task.told(answer, NAMES)
    assert found["part"].tolist() == [50, 0, 150, 100]
    assert len(found["looked"]) == 2  # the word and the end
    assert (found["caption"], found["words"]) == ("cat", ["cat"])
    with pytest.raises(
        UsageError, match=r"^one caption is told .* best 3: leave --top \(most\) out$"
    ):
        task.told(answer, NAMES, 3)
