"""docs/gallery.md and its pictures: the weights of trained networks, by the class of the picture.

for name in se eca cbam; do
    python train.py --config=configs/digits.py:$name --workdir=runs/digits-$name
done
python -m docs.generate.weights_by_class runs/digits-se runs/digits-eca runs/digits-cbam
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import matplotlib as mpl
import numpy as np

from chanattn import attention, data
from chanattn.export import trained
from chanattn.markdown import table

mpl.use("Agg")
from matplotlib import pyplot as plt

PAGE = Path(__file__).resolve().parents[1] / "gallery.md"
PICTURES = PAGE.parent / "images"

_HEAD = """\
# Gallery: what trained networks weigh

Written by `python -m docs.generate.weights_by_class`, whose first lines are the commands that trained
the three networks.

A drawing of each mechanism would say no more than its row in [the catalogue](catalogue.md), whose
columns *squeeze*, *mix*, *gate* and *place* are the boxes of such a drawing. What a table cannot show is
what the weights do. Here they are, of ResNet-8 with SE, ECA and CBAM, trained on the embedded digits by
the recipe `configs/digits.py` (seed 0, 24 epochs) and shown the 355 test pictures. Each row of a picture
is a digit, each column a channel, the colour the mean weight; the channels are sorted by their mean over
all pictures. Where a column has one colour, the weight does not depend on the digit, and a learned
constant for that channel would do the same (the mechanism `static`).
"""
_TABLE = """\
## How much depends on the input

Of the weights *w* of a block, over the test pictures and the channels: their mean; the standard
deviation among the channels of the mean weight; and the standard deviation among the pictures, as the
mean over the channels, in all and between the ten means of the digits.
"""
_FOOT = """
One seed, one small set of grey 8x8 pictures, networks of three blocks: this shows how to look, and
nothing about attention on other data. Whether the dependence on the input is of use is another question,
which the sweep `configs/ablations/input_matters.py` asks
([the published tables as sweeps](ablations.md)).
"""


def weights(run: str) -> tuple[str, dict[str, np.ndarray], np.ndarray]:
    """The mechanism of a run, its weights of channels (N, C) on the test pictures by block, and labels."""
    network = trained.read(run)
    settings = network.config.dataset
    source: Any = data.open_source(settings, "test", ("label",))
    records = source.read(range(len(source)))
    images = np.stack([np.repeat(record.image, 3, axis=-1) for record in records])
    labels = np.array([record.fields["label"] for record in records])
    x = (images / 255 - np.array(settings.mean)) / np.array(settings.std)
    _, sown = network.model.apply(network.variables, x.astype(np.float32), mutable=["attention"])
    found = {
        path[0].key: np.asarray(leaf)
        for path, leaf in jax.tree.leaves_with_path(sown["attention"])
        if leaf.ndim == 2
    }
    return network.config.model.attention.name, found, labels


def draw(name: str, found: dict[str, np.ndarray], labels: np.ndarray, title: str) -> Path:
    """A panel a block, a row a class, a column a channel."""
    figure, panels = plt.subplots(1, len(found), figsize=(9, 2.6), layout="constrained")
    for panel, (block, w) in zip(panels, found.items(), strict=True):
        by_class = _by_class(w, labels)[:, np.argsort(w.mean(0))]
        shown = panel.imshow(by_class, vmin=0, vmax=1, cmap="viridis", aspect="auto")
        panel.set_title(block.replace("_", ", "), fontsize=9)
        panel.set(xlabel=f"channel, of {w.shape[1]}, sorted", yticks=range(10))
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.tick_params(labelsize=8)
    panels[0].set_ylabel("digit")
    figure.colorbar(shown, ax=panels, label="mean weight", pad=0.01)
    figure.suptitle(title, fontsize=10)
    path = PICTURES / f"weights_{name}.png"
    figure.savefig(path, dpi=100, metadata={"Software": None})
    plt.close(figure)
    return path


def _by_class(w: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Means over the pictures of each class: (N, C) -> (classes, C)."""
    return np.stack([w[labels == label].mean(0) for label in np.unique(labels)])


def _spread(w: np.ndarray, labels: np.ndarray) -> Iterator[str]:
    between = _by_class(w, labels).std(0).mean()
    for value in (w.mean(), w.mean(0).std(), w.std(0).mean(), between):
        yield f"{value:.3f}"


def main(runs: list[str]) -> None:
    """Writes the page and its pictures."""
    parts, rows = [_HEAD], []
    for run in runs:
        name, found, labels = weights(run)
        summary = attention.describe(name).summary.removesuffix(".")
        path = draw(
            name, found, labels, f"{name}: mean weight of each channel by digit, 355 test pictures"
        )
        parts.append(
            f"## `{name}`\n\n{summary}.\n\n![{name}: mean weights by digit and block](images/{path.name})\n"
        )
        rows += [(f"`{name}`", block, *_spread(w, labels)) for block, w in found.items()]
    headings = ("mechanism", "block", "mean", "among channels", "among pictures", "among digits")
    lines = table(headings, rows, ["---", "---", *["---:"] * 4])
    PAGE.write_text("\n".join((*parts, _TABLE, *lines, _FOOT)), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
