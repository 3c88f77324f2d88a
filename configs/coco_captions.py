"""Captioning of photographs: an LSTM with SCA-CNN's attention on EfficientNet-Lite0, from ImageNet's weights.

    python train.py --config=configs/coco_captions.py --workdir=runs/said --config.model.init=WEIGHTS
    python train.py --config=configs/coco_captions.py:spatial --workdir=runs/said-sat \
        --config.model.init=WEIGHTS
    python train.py --config=configs/coco_captions.py --workdir=runs/coco --config.model.init=WEIGHTS \
        --config.dataset.name=folder --config.dataset.data_dir=DIR --config.dataset.split=train \
        --config.dataset.eval_split=val --config.dataset.least_count=5 --config.epochs=20

The argument is the attention of the decoder (`task.attention`). WEIGHTS is a safetensors file of timm's
`tf_efficientnet_lite0`, or the folder with it and its `config.json`. The data of the first two commands is
`coco_mini` in `--config.dataset.data_dir` or $TFDS_DATA_DIR, a set in TFDS's format that TFDS does not bring:
235 pictures of COCO with five captions each, and 128 to evaluate on. **235 pictures teach no captioning**:
what is reached shows that everything works, and is to be compared with captions that ignore the picture, not
with published figures:
CIDEr-D 0.086 on validation (one seed), where the nearest training picture's captions have 0.309. The
last command is for COCO or Flickr whole: DIR has the pictures and Karpathy's JSON (docs/captioning.md);
`configs/ablations/captioning.py:coco` has the settings of SCA-CNN. The backbone is kept as it is, and the
rest is our own choice too.
"""

from ml_collections import ConfigDict

from configs import base


def get_config(attention: str = "cs") -> ConfigDict:
    """The recipe with that attention in the decoder."""
    c = base.get_config()
    c.epochs = 40
    c.batch_size = 47
    c.log_every = 5  # one epoch of coco_mini
    c.eval_every = 25
    c.checkpoint_every = 50
    c.checkpoint.keep_best = 1

    c.dataset.name = "coco_mini"
    c.dataset.split = "train+train_captions"
    c.dataset.eval_split = "validation"
    c.dataset.image_size = 224
    c.dataset.least_count = 2
    c.dataset.most_words = 22

    c.task.name = "captioning"
    c.task.attention = attention
    c.task.attention_width = 256
    c.task.label_smoothing = 0.1
    c.task.beam = 3
    c.task.length_norm = "mean"
    c.task.longest = 20
    c.model.name = "tf_efficientnet_lite0"
    c.model.head_width = 256
    c.model.attention.name = "identity"
    c.model.dropout = 0.5

    c.optimizer.name = "adamw"
    c.optimizer.learning_rate = 1e-3
    c.optimizer.weight_decay = 0.01
    c.optimizer.clip_norm = 5.0
    c.optimizer.freeze = ("backbone",)
    c.schedule.warmup_epochs = 2.0
    return c
