"""Every field of every config, with its default. Recipes start from `get_config()` and change what they need.

A recipe is a file with `get_config(arg=None)` that returns a `ConfigDict`; the part after the colon of
`--config=configs/cifar10.py:eca` is its argument. Any field can be set from the command line:
`--config.optimizer.learning_rate=0.2`. Fields that do not exist are refused, so a typo never passes silently.
"""

from ml_collections import ConfigDict, config_dict

from chanattn import attention


def get_config() -> ConfigDict:
    """The complete config; trains nothing by itself, because `dataset.name` and the length are empty."""
    c = ConfigDict()
    c.seed = 0  # Decides everything random: initialisation, order, augmentation, dropout.

    # Length of the training: exactly one of the three is positive.
    c.steps = 0  # optimizer steps
    c.epochs = 0.0  # passes over the training split, each of floor(size / batch_size) steps
    c.examples = 0  # training images seen, repetitions counted
    c.batch_size = 128  # global: over all devices and processes
    c.accumulate = 1  # split every batch into this many parts, one after another, to save memory

    # How often, in steps. 0: once an epoch. The last step always evaluates and saves.
    c.log_every = 50
    c.eval_every = 0
    c.checkpoint_every = 0

    # The machine.
    c.platform = "auto"  # auto | cpu | gpu | tpu; a platform that is absent is an error
    c.cpu_devices = (
        0  # virtual devices on the CPU; 0: one with oneDNN, else one a core as the batch divides
    )
    c.kernels = "auto"  # convolutions on the CPU: auto | onednn | xla | plain, see `chanattn.layers.kernels`
    c.compilation_cache = (
        ""  # folder for compiled programs; empty: none, or $JAX_COMPILATION_CACHE_DIR
    )
    c.deterministic = False  # GPU: only operations that give the same bits every time; slower
    c.precision = "float32"  # float32 | bfloat16: type of activations; norm statistics stay float32
    c.param_dtype = "float32"  # float32 | bfloat16: type of the stored parameters

    c.dataset = dataset()
    c.model = model()
    c.task = task()
    c.optimizer = optimizer()
    c.schedule = schedule()
    c.ema = ConfigDict({"decay": 0.0})  # moving average of parameters and batch statistics; 0: off
    c.checkpoint = checkpoint()
    c.nonfinite = nonfinite()
    c.logging = logging()
    c.lock()
    return c


def dataset() -> ConfigDict:
    """Where the pictures come from and what is done to them."""
    d = ConfigDict()
    d.name = ""  # digits | synthetic | folder | any TFDS classification set (cifar10, fashion_mnist, ...)
    d.split = (
        "train"  # with parts: train[:90%], train[:1000]; each a fair sample, `chanattn.data.split`
    )
    d.eval_split = "test"
    d.allow_overlap = False  # train although pictures of eval_split are in split too
    d.data_dir = ""  # folder: its root; TFDS: else $TFDS_DATA_DIR, else ~/tensorflow_datasets
    d.image_size = 0  # height = width after decoding; 0: as stored, if all share one size
    d.mean = (0.5, 0.5, 0.5)  # of the pixel values in [0, 1], per channel
    d.std = (0.5, 0.5, 0.5)
    d.loader = (
        "auto"  # device: the whole set in device memory; stream: Grain; auto: device if it fits
    )
    d.workers = 0  # Grain worker processes; 0: decode in this process
    d.max_corrupt = 0  # unreadable pictures skipped, named and counted before the run stops
    d.synthetic_examples = 512  # size of `synthetic`
    d.synthetic_classes = 10

    a = d.augment = ConfigDict()
    a.random_resized_crop = False  # streamed data: area 8-100 %, aspect 3/4-4/3
    # Pictures of different sizes, but those of image_size: centre crop, part of the resized picture.
    a.eval_crop = 0.875
    a.pad_crop = 0  # pixels of zero padding on each side, then a random crop of the original size
    a.flip = False  # mirror left-right with probability 1/2
    a.color_jitter = 0.0  # strength of random brightness, contrast and saturation
    a.rand_augment_ops = 0  # RandAugment: operations a picture
    a.rand_augment_magnitude = 9.0  # RandAugment: strength, 0-10
    a.cutout = 0  # side of the erased square in pixels
    a.mixup = 0.0  # alpha of the Beta distribution
    a.cutmix = 0.0  # alpha; with mixup too, each batch takes one of the two at random
    return d


def model() -> ConfigDict:
    """The network: an architecture (`python -m chanattn.models`) with a mechanism."""
    m = ConfigDict()
    m.name = "resnet20"
    m.num_classes = 0  # 0: as many as the dataset has
    m.head = ""  # a name of `chanattn.models.heads` that gives what the task takes; empty: the task's own
    m.shortcut = ""  # zero_pad | projection | avg_pool; empty: the architecture's own
    m.zero_init_residual = True  # last norm of a block starts at zero: the block is the identity
    m.stochastic_depth = 0.0  # drop probability of the last block; grows linearly up to it
    m.dropout = 0.0  # before the classifier

    a = m.attention = ConfigDict()
    a.name = "identity"
    a.placement = ""  # where in the block; empty: the mechanism's own place
    a.stages = ()  # numbers of stages, from 1; empty: all (at stage_end: all but the last)
    # One field for every option of every mechanism. None: the mechanism's default. An option that
    # the chosen mechanism does not take is refused.
    for option, kind in attention.options().items():
        a[option] = config_dict.placeholder(kind)
    return m


def task() -> ConfigDict:
    """What is learnt."""
    t = ConfigDict()
    t.name = "classification"
    t.label_smoothing = 0.0
    t.se_loss_weight = 0.2  # of EncNet's loss on the presence of classes (model.attention.se_loss)
    return t


def optimizer() -> ConfigDict:
    """The optimizer; weight decay never touches biases and norms, see `chanattn.attention.decays`."""
    o = ConfigDict()
    o.name = "sgd"  # sgd | adamw | lamb
    o.learning_rate = 0.1  # peak, for the batch size given: it is not scaled
    o.momentum = 0.9  # sgd
    o.nesterov = True  # sgd
    o.beta1 = 0.9  # adamw, lamb
    o.beta2 = 0.999  # adamw, lamb
    o.eps = 1e-8  # adamw, lamb
    o.weight_decay = 1e-4  # sgd: added to the gradient; adamw, lamb: decoupled
    o.decay_attention = True  # False: parameters of the attention modules do not decay
    o.clip_norm = 0.0  # global gradient norm; 0: off
    return o


def schedule() -> ConfigDict:
    """The learning rate over time, after a linear warm-up: lr * (t + 1) / warmup_steps."""
    s = ConfigDict()
    s.name = "cosine"  # cosine | step | polynomial | constant
    s.warmup_epochs = 0.0  # at most one of the two is positive
    s.warmup_steps = 0
    s.boundaries = (0.5, 0.75)  # step: fractions of the whole training at which the rate drops
    s.factor = 0.1  # step: what it is multiplied by
    s.power = 1.0  # polynomial
    s.end_factor = 0.0  # cosine, polynomial: final rate as a fraction of the peak
    return s


def checkpoint() -> ConfigDict:
    """Which checkpoints stay; one that any of the fields wants does."""
    k = ConfigDict()
    k.keep = 2  # the newest
    k.keep_best = (
        0  # with the highest top-1 accuracy (of the averages with EMA); each is saved when found
    )
    k.keep_every = 0  # those of steps that are multiples of this; 0: none for that
    return k


def nonfinite() -> ConfigDict:
    """What becomes of a run whose loss, gradient or weights are no longer finite numbers."""
    n = ConfigDict()
    # stop | skip: the step changes nothing but its number | rollback: to the last checkpoint, and on from it
    # with the data in another order
    n.policy = "stop"
    n.limit = 10  # skip: steps, rollback: times; one more in the whole run stops it
    return n


def logging() -> ConfigDict:
    """Views of metrics.jsonl."""
    g = ConfigDict()
    g.tensorboard = True  # event files in RUN/tensorboard
    g.wandb_project = ""  # Weights & Biases project; needs the `wandb` extra
    return g
