"""Values of the wrong type, out of range, and those that do not fit each other."""

from tests.reliability.case import Case
from tests.reliability.making import tiny


def case(title: str, overrides: str, recipe: str = "tiny.py") -> Case:
    """Training of the tiny recipe with these fields changed."""
    fields = " ".join(f"--config.{field}" for field in overrides.split())
    return Case(title, f"train.py --config={recipe} --workdir=RUN {fields}", tiny)


CASES = (
    case("address of the data", "dataset.data_dir=file:///data"),
    case("misspelt field", "optimizer.learning_rat=1"),
    case("field without its group", "learning_rate=1"),
    case("group in place of a field", "optimizer=adamw"),
    case("field without a value", "seed"),
    case("text for a number", "batch_size=many"),
    case("fraction for a whole number", "batch_size=1.5"),
    case("truth value that is none", "optimizer.nesterov=perhaps"),
    case("`no` for a number", "seed=no"),
    case("tuple that is none", "model.attention.stages=layer3"),
    case("tuple of another length", "dataset.mean=(0.5,0.5)"),
    case("tuple of texts", "model.attention.stages=('a',)"),
    case("code in place of a tuple", "model.attention.stages=__import__('os').getcwd()"),
    case("batch of nothing", "batch_size=0"),
    case("batch larger than the data set", "batch_size=1000"),
    case("batch that its parts do not divide", "accumulate=3"),
    case("batch that the devices do not divide", "cpu_devices=3"),
    case("negative seed", "seed=-1"),
    case("seed beyond 32 bits", "seed=4294967296"),
    case("no length", "steps=0"),
    case("two lengths", "epochs=3"),
    case("training shorter than a step", "steps=0 epochs=0.1"),
    case("warm-up in two units", "schedule.warmup_steps=1 schedule.warmup_epochs=1"),
    case("warm-up longer than the training", "schedule.warmup_steps=10"),
    case("boundaries that fall", "schedule.boundaries=(0.7,0.5)"),
    case("boundary behind the end", "schedule.boundaries=(0.5,2.0)"),
    case("learning rate NaN", "optimizer.learning_rate=nan"),
    case("learning rate infinite", "optimizer.learning_rate=inf"),
    case("learning rate negative", "optimizer.learning_rate=-0.1"),
    case("momentum of 1", "optimizer.momentum=1"),
    case("deviation of 0", "dataset.std=(0.2,0.0,0.2)"),
    case("label smoothing of 1", "task.label_smoothing=1"),
    case("unknown optimizer", "optimizer.name=adam"),
    case("unknown schedule", "schedule.name=cosin"),
    case("unknown task", "task.name=classificaton"),
    case("unknown precision", "precision=float16"),
    case("unknown platform", "platform=cuda"),
    case("unknown kernels", "kernels=mkl"),
    case("unknown loader", "dataset.loader=disk"),
    case("unknown architecture", "model.name=resnet21"),
    case("unknown mechanism", "model.attention.name=see"),
    case("unknown gate", "model.attention.gate=sigmod"),
    case("unknown place", "model.attention.placement=post_conv"),
    case("option that the mechanism does not take", "model.attention.kernel_size=3"),
    case("option of the wrong type", "model.attention.reduction=many"),
    case("option out of range", "model.attention.reduction=0"),
    case(
        "option that does not fit the widths", "model.attention.name=se_gc model.attention.groups=7"
    ),
    case("kernel of even size", "model.attention.name=eca model.attention.kernel_size=4"),
    case(
        "place for a mechanism that replaces a convolution",
        "model.attention.name=sk model.attention.placement=pre",
    ),
    case("stage that the network lacks", "model.attention.stages=(4,)"),
    case("stage named twice", "model.attention.stages=(2,2)"),
    case(
        "head of a stage that is not the last",
        "model.attention.placement=head model.attention.stages=(1,)",
    ),
    case("width beside a reduction", "model.attention.width=4 model.attention.reduction=8"),
    case("another number of classes than the data", "model.num_classes=7"),
    case(
        "crop at random in memory", "dataset.loader=device dataset.augment.random_resized_crop=True"
    ),
    case("square to cut out larger than the picture", "dataset.augment.cutout=9"),
    case("pictures too large for any memory", "dataset.image_size=1000000"),
    case(
        "more operations than RandAugment's strength", "dataset.augment.rand_augment_magnitude=11"
    ),
    case("negative pixels", "dataset.image_size=-8"),
    case("folder of compiled programs below a file", "compilation_cache=tiny.py/cache"),
    case("averages that never forget", "ema.decay=1.0"),
    case("part that the network lacks, frozen", "optimizer.freeze=('stage4',)"),
    case("pattern of no parameter, frozen", "optimizer.freeze=('backbone','!*gate*')"),
    case("everything frozen", "optimizer.freeze=('backbone','head')"),
    case("learning rates that vanish", "optimizer.layer_decay=0"),
    case("rate for new parameters without weights", "optimizer.new_factor=10"),
    case("no checkpoint kept", "checkpoint.keep=0"),
)
