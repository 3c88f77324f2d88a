"""Every field of every config: default, what it may hold and what it means, declared here and nowhere else.

    "momentum": Field(0.9, number(0, 1, ends="[)"), "Of sgd."),

Recipes start from `get_config()`, a config of all defaults, and change what they need; the command line
changes any field: `--config.optimizer.momentum=0.95`. `chanattn.training.validate` checks a config by this
page, and has the checks that concern several fields. A field with `tasks=` is for these tasks alone, one with
`data=` for tasks that learn from these kinds of annotations alone: beside others it must keep its default.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from chanattn.fields import (
    Field,
    boolean,
    choice,
    flatten,
    integer,
    number,
    path,
    several,
    size,
    text,
)

if TYPE_CHECKING:
    from ml_collections import ConfigDict

# One line a field where it fits.
# fmt: off
RUN = {
    "seed": Field(0, integer(0, 2**32 - 1),
        "Decides everything random: initialisation, order, augmentation, dropout."),

    "imports": Field((), several(text(empty=False), empty=True),
        "Modules of your own to import first, which register tasks, heads or mechanisms.", older=()),

    # Length of the training: exactly one of the three is positive.
    "steps": Field(0, integer(0), "Optimizer steps."),
    "epochs": Field(0.0, number(0),
        "Passes over the training split, each of floor(size / batch_size) steps."),
    "examples": Field(0, integer(0), "Training images seen, repetitions counted."),
    "batch_size": Field(128, integer(1), "Global: images a step over all devices and processes."),
    "accumulate": Field(1, integer(1), "Parts of a batch, computed one after another, to save memory."),

    # How often. The last step always evaluates and saves.
    "log_every": Field(50, integer(0), "Steps between lines of training metrics; 0: once an epoch."),
    "eval_every": Field(0, integer(0), "Steps between evaluations; 0: once an epoch."),
    "checkpoint_every": Field(0, integer(0), "Steps between checkpoints; 0: once an epoch."),

    # The machine.
    "platform": Field("auto", choice("auto", "cpu", "gpu", "tpu"), "One that is absent is an error."),
    "cpu_devices": Field(0, integer(0),
        "Virtual devices on the CPU; 0: one with oneDNN, else one a core as the batch divides."),
    "kernels": Field("auto", choice("auto", "onednn", "xla", "plain"),
        "Convolutions on the CPU, see `chanattn.layers.kernels`."),
    "compilation_cache": Field("", path(),
        "Folder for compiled programs; empty: $JAX_COMPILATION_CACHE_DIR, or the user's, "
        "$XDG_CACHE_HOME/chanattn or ~/.cache/chanattn; none: they are not kept."),
    "deterministic": Field(False, boolean(),
        "GPU: only operations that give the same bits every time; slower."),
    "precision": Field("float32", choice("float32", "bfloat16"),
        "Type of activations; norm statistics stay float32."),
    "param_dtype": Field("float32", choice("float32", "bfloat16"), "Type of the stored parameters."),
}

# Where the pictures come from.
DATASET = {
    "name": Field("", text(empty=False),
        "digits | synthetic | shapes | folder | any TFDS set that has what the task needs (cifar10, ...)."),
    "split": Field("train", text(empty=False),
        "With parts: train[:90%], train[:1000]; each a fair sample, see `chanattn.data.split`."),
    "eval_split": Field("test", text(empty=False), "What evaluations are made on, written in the same way."),
    "allow_overlap": Field(False, boolean(), "Train although pictures of eval_split are in split too.",
        older=False),
    "data_dir": Field("", path(), "folder: its root; TFDS: else $TFDS_DATA_DIR, else ~/tensorflow_datasets."),
    "class_names": Field((), several(text(empty=False), empty=True),
        "Of a TFDS set whose label maps do not tell: the names of the values 0, 1, ...",
        data=("mask",), older=()),
    "void": Field(-1, integer(-1, 65_535),
        "Of label maps of TFDS: the value of pixels without a class; -1: what the set says, else none.",
        data=("mask",), older=-1),
    "most_boxes": Field(100, integer(1, 10_000),
        "Objects of one picture that there is room for; COCO has 93 in one.", data=("boxes",), older=100),
    "least_count": Field(5, integer(1),
        "Words that occur less often in the captions of the training split are not known.",
        data=("captions",), older=5),
    "most_words": Field(20, integer(1, 1000),
        "Of a caption to learn from; longer ones are cut, and counted.", data=("captions",), older=20),
    "most_captions": Field(0, integer(0),
        "Of each picture to learn from, the first ones; 0: all.", data=("captions",), older=0),
    "image_size": Field(0, size(16_384),
        "After decoding: a number for squares, or HEIGHT,WIDTH; 0: as stored, if all share one size."),
    "mean": Field((0.5, 0.5, 0.5), several(number(), 3), "Mean of the pixel values in [0, 1], by channel."),
    "std": Field((0.5, 0.5, 0.5), several(number(0, ends="()"), 3), "Their standard deviation, by channel."),
    "loader": Field("auto", choice("auto", "device", "stream"),
        "device: the whole set in device memory; stream: Grain; auto: device if it fits."),
    "workers": Field(0, integer(0), "Grain worker processes; 0: decode in this process."),
    "max_corrupt": Field(0, integer(0),
        "Unreadable pictures skipped, named and counted before the run stops."),
    "synthetic_examples": Field(512, integer(1), "Size of `synthetic`."),
    "synthetic_classes": Field(10, integer(2), "Classes of `synthetic`."),
}

# What is done to the pictures.
AUGMENT = {
    # As little as 8 % of a picture, out of shape, which leaves no scene and no objects.
    "random_resized_crop": Field(False, boolean(), "Streamed data: area 8-100 %, aspect 3/4-4/3.",
        data=("label",), instead="dataset.augment.random_scale and crop"),
    "eval_crop": Field(0.875, number(0, 1, ends="(]"),
        "Pictures of different sizes, but those of image_size: centre crop, part of the resized picture.",
        data=("label", "captions")),
    "pad_crop": Field(0, integer(0),
        "Pixels of zero padding on each side, then a random crop of the original size."),
    "random_scale": Field((), several(number(0, ends="()"), empty=True),
        "Least and largest factor of a random scale, such as 0.5,2; cut or filled up to the size.",
        data=("mask", "boxes"), older=()),
    "crop": Field(0, size(16_384),
        "Training pictures: a random part of so many pixels, or HEIGHT,WIDTH; 0: of their whole size.",
        data=("mask", "boxes"), older=0),
    "max_class_share": Field(1.0, number(0, 1, ends="(]"),
        "Of one class in what random_scale and crop leave, where another draw has less.",
        data=("mask",), older=1.0),
    # Captions tell of left and right.
    "flip": Field(False, boolean(), "Mirror left-right with probability 1/2.",
        data=("label", "mask", "boxes")),
    "color_jitter": Field(0.0, number(0, 1), "Strength of random brightness, contrast and saturation."),
    # Five of RandAugment's operations are geometric, and move no annotations.
    "rand_augment_ops": Field(0, integer(0), "RandAugment: operations a picture.", data=("label",),
        instead="dataset.augment.color_jitter"),
    "rand_augment_magnitude": Field(9.0, number(0, 10), "RandAugment: strength.", data=("label",)),
    "cutout": Field(0, integer(0), "Side of the erased square in pixels.", data=("label",),
        instead="dataset.augment.random_scale and crop"),
    "mixup": Field(0.0, number(0), "Alpha of the Beta distribution; 0: off.", data=("label",),
        instead="dataset.augment.random_scale and crop"),
    "cutmix": Field(0.0, number(0), "Alpha; with mixup too, each batch takes one of the two at random.",
        data=("label",), instead="dataset.augment.random_scale and crop"),
}

# The network: an architecture with a mechanism.
MODEL = {
    "name": Field("resnet20", text(empty=False),
        "The architecture, see `python -m chanattn.models`; or a network of timm's, see `--timm` there."),
    "num_classes": Field(0, integer(0), "Of the classifier; 0: as many as the dataset has."),
    "head": Field("", text(empty=True),
        "What is made of the endpoints, see `chanattn.models.heads`; empty: the task's own.", older=""),
    "head_width": Field(0, integer(0), "Channels of the head, if it has a width to choose; 0: its own.",
        older=0),
    "init": Field("", path(),
        "Weights to begin with: a safetensors file, a folder with one and its config.json, or a run, maybe"
        " with @STEP, @best, @raw or @ema behind it; see docs/pretrained.md.", older=""),
    "init_strict": Field(True, boolean(),
        "Refuse weights that lack a part of the backbone, or have something that it lacks.", older=True),
    "shortcut": Field("", choice("", "zero_pad", "projection", "avg_pool"), "Empty: the architecture's own."),
    "zero_init_residual": Field(True, boolean(),
        "The last norm of a block starts at zero: the block is the identity."),
    "stochastic_depth": Field(0.0, number(0, 1, ends="[)"),
        "Drop probability of the last block; grows linearly up to it."),
    "dropout": Field(0.0, number(0, 1, ends="[)"), "Rate before the classifier."),
}

# `get_config` adds a field for every option of every mechanism. None: the mechanism's default. An option that
# the chosen mechanism does not take is refused; the mechanism knows its range.
ATTENTION = {
    "name": Field("", text(empty=True),
        "The mechanism, see `python -m chanattn.attention`; identity: none; empty: the one that model.name"
        " implies, if it does."),
    "placement": Field("", text(empty=True), "Where in the block; empty: the mechanism's own place."),
    "stages": Field((), several(integer(1, 5), empty=True),
        "Numbers of stages, from 1; empty: all (at stage_end: all but the last)."),
    "start": Field("", choice("", "identity"),
        "identity: step 0 predicts what the network without attention does; empty: the mechanism's own.",
        older=""),
}

# What is learnt.
TASK = {
    "name": Field("classification", text(empty=False), "The task."),
    "label_smoothing": Field(0.0, number(0, 1, ends="[)"),
        "Share of the target that is spread evenly over all classes, or words.",
        data=("label", "mask", "captions")),
    "class_weights": Field("none", choice("none", "median_frequency", "sqrt_median", "enet"),
        "Of the pixels of each class in the loss, by how rare it is in the training split.",
        tasks=("segmentation",), older="none"),
    "dice_weight": Field(0.0, number(0),
        "Of the soft Dice loss beside the cross-entropy.", tasks=("segmentation",), older=0.0),
    "lovasz_weight": Field(0.0, number(0),
        "Of the Lovász-softmax loss beside the cross-entropy.", tasks=("segmentation",), older=0.0),
    "se_loss_weight": Field(0.2, number(0),
        "Of EncNet's loss on the presence of classes (model.attention.se_loss, or the head encnet).",
        tasks=("classification", "segmentation", "detection")),
    "auxiliary_weight": Field(-1.0, number(-1),
        "Of the losses on a head's auxiliary outputs; -1: as published.",
        tasks=("segmentation",), older=-1.0),

    # The detector FCOS, see docs/detection.md.
    "preset": Field("fcos", choice("fcos", "torchvision"),
        "Whose version: the authors', or torchvision's.", tasks=("detection",), older="fcos"),
    "strides": Field((8, 16, 32, 64, 128), several(integer(1)),
        "Of the levels of the pyramid, each twice the one before; the finest is that of a stage.",
        tasks=("detection",), older=(8, 16, 32, 64, 128)),
    "ranges": Field((64.0, 128.0, 256.0, 512.0), several(number(0, ends="()"), empty=True),
        "Limits between the levels: how far the farthest side of an object is from a location, in pixels.",
        tasks=("detection",), older=(64.0, 128.0, 256.0, 512.0)),
    "radius": Field(1.5, number(0),
        "How far from the centre of an object its locations are, in strides; 0: as far as its box.",
        tasks=("detection",), older=1.5),
    "tower": Field(4, integer(1), "Convolutions in each of the head's two towers.",
        tasks=("detection",), older=4),
    "norm_groups": Field(32, integer(1), "Of the group norms in the towers.",
        tasks=("detection",), older=32),
    "score_threshold": Field(-1.0, number(-1, 1, ends="[)"),
        "Least probability (torchvision: score) of a detection; -1: 0.05, or 0.2 of torchvision.",
        tasks=("detection",), older=-1.0),
    "nms_threshold": Field(0.6, number(0, 1),
        "IoU above which two detections of a class are one.", tasks=("detection",), older=0.6),
    "candidates": Field(1000, integer(1),
        "Detections of a level that are compared with each other.", tasks=("detection",), older=1000),
    "detections": Field(100, integer(1),
        "Most detections of a picture.", tasks=("detection",), older=100),

    # The decoder of captions, see docs/captioning.md.
    "attention": Field("cs", choice("none", "spatial", "channel", "cs", "sc"),
        "How it looks at the picture; spatial: Show, Attend and Tell's; channel, cs, sc: SCA-CNN's,"
        " by the order of its two; for others set model.attention at placement neck.",
        tasks=("captioning",), older="cs"),
    "attention_width": Field(512, integer(1), "Hidden units of that attention.",
        tasks=("captioning",), older=512),
    "layers": Field(1, integer(1, 2), "Of that attention: 2: SCA-CNN's, with a block between them.",
        tasks=("captioning",), older=1),
    "conditioned": Field(True, boolean(),
        "False: attention is not told the state of the decoder, and sees the same at every word.",
        tasks=("captioning",), older=True),
    "endpoint": Field("", text(empty=True), "The map that is looked at; empty: the last one.",
        tasks=("captioning",), older=""),
    "positions": Field(False, boolean(), "What is looked at is told where in the map it is (CoordConv).",
        tasks=("captioning",), older=False),
    "embedding": Field(128, integer(1), "Width of a word.", tasks=("captioning",), older=128),
    "unit_norm": Field(False, boolean(), "What is seen has length 1, as in SCA-CNN.",
        tasks=("captioning",), older=False),
    "selector": Field(False, boolean(),
        "What is seen is weighed by a gate at every word, as in Show, Attend and Tell.",
        tasks=("captioning",), older=False),
    "prev2out": Field(True, boolean(), "The output sees the word before directly.",
        tasks=("captioning",), older=True),
    "ctx2out": Field(False, boolean(), "The output sees the picture directly.",
        tasks=("captioning",), older=False),
    "initial_state": Field("mean", choice("mean", "zero"), "Of the decoder: of the picture's mean, or zero.",
        tasks=("captioning",), older="mean"),
    "own_words": Field(0.0, number(0, 1),
        "Scheduled sampling: how often the decoder learns from the word that it drew itself.",
        tasks=("captioning",), older=0.0),
    "doubly_stochastic": Field(0.0, number(0),
        "Of the penalty that all places be looked at equally, of Show, Attend and Tell (1 there).",
        tasks=("captioning",), older=0.0),
    "beam": Field(1, integer(1), "Width of the search for a caption; 1: greedy.",
        tasks=("captioning",), older=1),
    "length_norm": Field("none", choice("none", "mean", "gnmt"),
        "What the log-probability of a caption is divided by in the search.",
        tasks=("captioning",), older="none"),
    "longest": Field(20, integer(1, 1000), "Most words of a generated caption.",
        tasks=("captioning",), older=20),
    "word_groups": Field((), several(text(empty=False), empty=True),
        "Words of which a caption has the right one or not, such as 'colour: red green blue'; their accuracy"
        " is told.", tasks=("captioning",), older=()),
}

# The optimizer; weight decay never touches biases and norms, see `chanattn.attention.decays`.
OPTIMIZER = {
    "name": Field("sgd", choice("sgd", "adamw", "lamb"), "The method."),
    "learning_rate": Field(0.1, number(0, ends="()"), "Peak, for the batch size given: it is not scaled."),
    "momentum": Field(0.9, number(0, 1, ends="[)"), "Of sgd."),
    "nesterov": Field(True, boolean(), "Of sgd."),
    "beta1": Field(0.9, number(0, 1, ends="[)"), "Of adamw and lamb."),
    "beta2": Field(0.999, number(0, 1, ends="[)"), "Of adamw and lamb."),
    "eps": Field(1e-8, number(0, ends="()"), "Of adamw and lamb."),
    "weight_decay": Field(1e-4, number(0), "sgd: added to the gradient; adamw, lamb: decoupled."),
    "decay_attention": Field(True, boolean(), "False: parameters of the attention modules do not decay."),
    "clip_norm": Field(0.0, number(0), "Largest global gradient norm; 0: off."),

    # Fine-tuning, see docs/pretrained.md.
    "freeze": Field((), several(text(empty=False), empty=True),
        "What is not trained: parts (stem, stage1, ..., final, backbone, head) or patterns of names, such as"
        " '*attention*'; with ! in front, what is after all.", older=()),
    "layer_decay": Field(1.0, number(0, 1, ends="(]"),
        "Factor of the learning rate from layer to layer, 1 at the head; a layer is a block.", older=1.0),
    "new_factor": Field(1.0, number(0, ends="()"),
        "Factor of the learning rate of parameters that model.init did not load.", older=1.0),
}

# The learning rate over time, after a linear warm-up: lr * (t + 1) / warmup_steps.
SCHEDULE = {
    "name": Field("cosine", choice("cosine", "step", "polynomial", "constant"), "The curve that follows."),
    "warmup_epochs": Field(0.0, number(0), "Length of the warm-up; at most one of the two is positive."),
    "warmup_steps": Field(0, integer(0), "Length of the warm-up in steps."),
    "boundaries": Field((0.5, 0.75), several(number(0, 1, ends="()")),
        "step: fractions of the whole training at which the rate drops."),
    "factor": Field(0.1, number(0, ends="()"), "step: what it is multiplied by."),
    "power": Field(1.0, number(0, ends="()"), "polynomial: the exponent."),
    "end_factor": Field(0.0, number(0, 1), "cosine, polynomial: final rate as a fraction of the peak."),
}

EMA = {
    "decay": Field(0.0, number(0, 1, ends="[)"),
        "Of the moving averages of parameters and batch statistics; 0: off."),
}

# Which checkpoints stay; one that any of the fields wants does.
CHECKPOINT = {
    "keep": Field(2, integer(1), "How many of the newest."),
    "keep_best": Field(0, integer(0),
        "How many of the best by the first metric (of the averages with EMA); each is saved when found."),
    "keep_every": Field(0, integer(0), "Those of steps that are multiples of this; 0: none for that."),
}

# What becomes of a run whose loss, gradient or weights are no longer finite numbers.
NONFINITE = {
    "policy": Field("stop", choice("stop", "skip", "rollback"),
        "stop: the run ends; skip: the step changes nothing but its number; rollback: to the last checkpoint,"
        " and on from it with the data in another order."),
    "limit": Field(10, integer(1), "skip: steps, rollback: times; one more in the whole run stops it."),
}

# Views of metrics.jsonl.
LOGGING = {
    "tensorboard": Field(True, boolean(), "Event files in RUN/tensorboard."),
    "wandb_project": Field("", text(empty=True), "Weights & Biases project; needs the `wandb` extra."),
}
# fmt: on

DECLARED: dict[str, Any] = RUN | {
    "dataset": DATASET | {"augment": AUGMENT},
    "model": MODEL | {"attention": ATTENTION},
    "task": TASK,
    "optimizer": OPTIMIZER,
    "schedule": SCHEDULE,
    "ema": EMA,
    "checkpoint": CHECKPOINT,
    "nonfinite": NONFINITE,
    "logging": LOGGING,
}
FIELDS: dict[str, Field] = flatten(DECLARED)
"""Every field by its dotted path, but for the options of mechanisms."""


def get_config() -> "ConfigDict":
    """The complete config; trains nothing by itself, because `dataset.name` and the length are empty."""
    # Of no use to those that only read the declarations.
    from ml_collections import ConfigDict, config_dict

    from chanattn import attention

    config = ConfigDict(_defaults(DECLARED))
    for option, kind in attention.options().items():
        config.model.attention[option] = config_dict.placeholder(kind)
    return allow_any_type(config).lock()


def allow_any_type(config: "ConfigDict") -> "ConfigDict":
    """Lets fields that take values of several types change between them; the command line reads literals."""
    from ml_collections import ConfigDict, config_dict

    for dotted in [dotted for dotted, field in FIELDS.items() if field.rule.kind is object]:
        *groups, name = dotted.split(".")
        section: Any = config
        for group in groups:  # what is absent is told of elsewhere
            section = section.get(group, {})
        if isinstance(section, ConfigDict) and name in section:
            value = section[name]
            del section[name]
            section[name] = config_dict.FieldReference(value, field_type=object)
    return config


def _defaults(declared: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: entry.default if isinstance(entry, Field) else _defaults(entry)
        for name, entry in declared.items()
    }


def add_later_fields(values: dict[str, Any]) -> set[str]:
    """Adds to the config of an earlier version the fields that came later, with the values of `Field.older`.

    Args:
        values: nested dicts, as read from JSON; changed in place. A group that is missing stays so.

    Returns:
        The dotted paths of the fields that were added.
    """
    added = set()
    for dotted, field in FIELDS.items():
        *groups, name = dotted.split(".")
        section: Any = values
        for group in groups:
            section = section.get(group) if isinstance(section, dict) else None
        if field.older is not None and isinstance(section, dict) and name not in section:
            section[name] = field.older
            added.add(dotted)
    return added
