"""EfficientNet-Lite0 on CIFAR-10 from ImageNet's weights, with attention added or without, and from nothing.

    python train.py --config=configs/finetune.py --workdir=runs/tuned --config.model.init=WEIGHTS
    python train.py --config=configs/finetune.py:eca --workdir=runs/tuned-eca --config.model.init=WEIGHTS
    python -m chanattn.sweep --config=configs/finetune.py --workdir=SWEEP --config.model.init=WEIGHTS

WEIGHTS is a safetensors file of timm's `tf_efficientnet_lite0`, or the folder with it and its `config.json`.
Prepare the data first: `python -m chanattn.data.prepare cifar10`. The argument names the attention, which
starts as the identity, so that step 0 predicts what the pretrained network does. The network (Tan and Le,
https://arxiv.org/abs/1905.11946) has no attention of its own, so it is one to add some to. Pictures are
enlarged to 64 pixels; a short training with a rate that falls towards the picture is our own choice.
"""

from ml_collections import ConfigDict

from chanattn.sweep import Sweep
from configs import base

ADDED = ("se", "eca", "gct")


def get_config(attention: str = "identity") -> ConfigDict:
    """The recipe with the attention of that name added."""
    c = base.get_config()
    c.steps = 600
    c.batch_size = 64
    c.log_every = 50
    c.eval_every = 600
    c.checkpoint_every = 600

    c.dataset.name = "cifar10"
    c.dataset.image_size = 64
    c.dataset.augment.flip = True
    c.dataset.augment.pad_crop = 4

    c.model.name = "tf_efficientnet_lite0"
    c.model.attention.name = attention
    if attention != "identity":
        c.model.attention.start = "identity"
    c.model.dropout = 0.2

    c.optimizer.name = "adamw"
    c.optimizer.learning_rate = 2e-3
    c.optimizer.weight_decay = 0.01
    c.optimizer.layer_decay = 0.9
    c.schedule.warmup_steps = 50
    return c


def sweep() -> Sweep:
    """Pretrained, pretrained with each attention, and the same training from nothing."""
    added = {
        name: {"model.attention.name": name, "model.attention.start": "identity"} for name in ADDED
    }
    return Sweep(
        title="Fine-tuning EfficientNet-Lite0",
        variants={"pretrained": {}, **added, "from scratch": {"model.init": ""}},
        baseline="pretrained",
        seeds=3,
        note="se, eca and gct are added to the pretrained network as the identity; every variant has the same"
        " steps.",
    )
