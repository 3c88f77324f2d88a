"""Machines that lack what is asked for."""

from tests.reliability.case import Case
from tests.reliability.cases.sweeps import SEARCH, SWEEP, grid
from tests.reliability.making import text, tiny

TRAIN = "train.py --config=tiny.py --workdir=RUN"

CASES = (
    Case("no GPU", f"{TRAIN} --config.platform=gpu --config.cpu_devices=0", tiny),
    Case("no TPU", f"{TRAIN} --config.platform=tpu --config.cpu_devices=0", tiny),
    Case(
        "platform of JAX that does not exist",
        f"{TRAIN} --config.platform=auto",
        tiny,
        environment={"JAX_PLATFORMS": "quantum"},
        varies=r"(?<=start \().*(?=\); mend)",
    ),
    Case(
        "flag that XLA does not have",
        TRAIN,
        tiny,
        environment={"XLA_FLAGS": "--xla_no_such_flag=1"},
    ),
    Case(
        "no Weights & Biases", f"{TRAIN} --config.logging.wandb_project=p", tiny, absent=("wandb",)
    ),
    Case("no Ray", f"{SWEEP} --launcher=ray", grid(), absent=("ray",), writes=("S.*",)),
    Case("no Optuna", f"{SEARCH}=uniform:0.1:1", tiny, absent=("optuna",)),
    Case("no TensorFlow", "python -m chanattn.data.prepare imagenette", absent=("tensorflow",)),
    Case(
        "no data where the variable says",
        "train.py --config=configs/cifar10.py --workdir=RUN",
        text("D", ""),
        environment={"TFDS_DATA_DIR": "D"},
    ),
)
