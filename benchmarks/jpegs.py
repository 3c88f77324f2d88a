"""A folder of pictures of the size of photographs, for measuring how fast they are read."""

from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT = 500, 375  # the most common size in ImageNet
_GRAIN = (
    25.0  # Standard deviation of the noise, in grey values: makes files as large as ImageNet's.
)
_QUALITY = 90


def write(folder: Path, number: int, classes: int = 10) -> float:
    """Writes `folder/train/<class>/<i>.jpg` and one picture a class below `folder/test`.

    Each is a handwritten digit, enlarged and tinted, under fine noise: flat parts and edges to compress,
    and a file about as large as a photograph's.

    Args:
        folder: exists.
        number: pictures of the split train.
        classes: at most 10.

    Returns:
        Mean size of a file in kB.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    rng = np.random.default_rng(0)
    sizes = []
    for i in range(number + classes):
        split, label = ("train" if i < number else "test"), i % classes
        picture = digits.images[digits.target == label][i // classes % 100] * (255 / 16)
        large = cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)[..., None]
        tinted = large * rng.uniform(0.3, 1.0, 3) + rng.normal(0, _GRAIN, (HEIGHT, WIDTH, 3))
        done, data = cv2.imencode(
            ".jpg", tinted.clip(0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
        )
        assert done
        path = folder / split / f"class{label}" / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.tobytes())
        sizes.append(len(data))
    return float(np.mean(sizes)) / 1000
