"""Captioning without a download: shapes in five colours and two sizes, drawn by the package itself.

    python train.py --config=configs/shapes_captioning.py --workdir=runs/told
    python train.py --config=configs/shapes_captioning.py:spatial --workdir=runs/told-spatial
    python eval.py --workdir=runs/told --split=held_out

The argument is the attention of the decoder (`task.attention`). The split `held_out` shows pairs of colour
and form that training never shows. What the words are and where they stand is learnt in a few epochs, which
of two shapes lies left or above much later. The recipe is our own.
"""

from ml_collections import ConfigDict

from configs import base


def get_config(attention: str = "cs") -> ConfigDict:
    """The recipe with that attention in the decoder."""
    c = base.get_config()
    c.epochs = 30
    c.batch_size = 50
    c.log_every = 40  # one epoch
    c.eval_every = 200
    c.checkpoint_every = 400

    c.dataset.name = "shapes"
    c.dataset.image_size = 64
    c.dataset.eval_split = "validation"
    c.dataset.least_count = 1
    c.dataset.most_words = 12  # they have 11 at most
    c.dataset.augment.pad_crop = 2

    c.task.name = "captioning"
    c.task.attention = attention
    c.task.attention_width = 128
    c.task.endpoint = "stage3"
    c.task.positions = True
    c.task.longest = 12
    c.task.word_groups = (
        "size: small large",
        "colour: red green blue yellow white",
        "form: circle square triangle cross",
        "relation: left right above below",
    )
    c.model.name = "resnet10t"
    c.model.head_width = 128
    c.model.attention.name = "identity"

    c.optimizer.name = "adamw"
    c.optimizer.learning_rate = 2e-3
    c.optimizer.weight_decay = 0.01
    c.optimizer.clip_norm = 5.0
    c.schedule.warmup_epochs = 1.0
    return c
