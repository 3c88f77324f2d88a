"""Flags that are misspelt, absent, of the wrong type, or idle beside others."""

from tests.reliability.case import Case
from tests.reliability.making import run, text, tiny

TRAIN = "train.py --config=configs/digits.py --workdir=RUN"
COST = "python -m chanattn.analysis.cost --config=configs/digits.py --nospeed"

CASES = (
    Case("unknown flag", "train.py --config=configs/digits.py --wrkdir=RUN"),
    Case("no config", "train.py --workdir=RUN"),
    Case("`--config` without a value", "train.py --workdir=RUN --config"),
    Case("no run directory", "train.py --config=configs/digits.py"),
    Case("run directory of an empty name", "train.py --config=configs/digits.py --workdir="),
    Case("an address", "train.py --config=configs/digits.py --workdir=gs://bucket/run"),
    Case(
        "a variable that no shell has replaced",
        ("train.py", "--config=configs/digits.py", "--workdir=$HOME/runs/a"),
    ),
    Case("home of nobody", "train.py --config=configs/digits.py --workdir=~nobody_here/runs"),
    Case("an override without its dashes", f"{TRAIN} config.seed=3"),
    Case("a stray word", f"{TRAIN} please"),
    Case("flag of the wrong type", f"{TRAIN} --process_id=first"),
    Case("flag out of range", f"{TRAIN} --num_processes=0"),
    Case("flag without its value", f"{TRAIN} --coordinator"),
    Case("truth value that is none", f"{TRAIN} --allow_config_change=perhaps"),
    Case("one of three flags that go together", f"{TRAIN} --coordinator=localhost:1"),
    Case(
        "process outside of their number",
        f"{TRAIN} --coordinator=localhost:1 --num_processes=2 --process_id=2",
    ),
    Case("evaluation of nothing", "eval.py"),
    Case("flags that exclude each other", "eval.py --workdir=RUN --ema --raw"),
    Case("a step that cannot be", "eval.py --workdir=RUN --step=-1"),
    Case("scales that are no numbers", "eval.py --workdir=RUN --scales=half"),
    Case("a scale of nothing", "eval.py --workdir=RUN --scales=0,1"),
    Case("a window that is no size", "eval.py --workdir=RUN --window=512"),
    Case("windows of a classification", "eval.py --workdir=RUN --window=8x8", run),
    Case("batch of the evaluation", "eval.py --workdir=RUN --batch_size=0", run),
    Case("`--config` for a run", "eval.py --config=tiny.py --workdir=RUN", tiny),
    Case("a field for a run", "eval.py --workdir=RUN --config.batch_size=3"),
    Case("`--output` for a run", "eval.py --workdir=RUN --output=OUT"),
    Case("unknown flag of a table", "python -m chanattn.attention --markdwn"),
    Case("stray word of a table", "python -m chanattn.models config.seed=3"),
    Case("stray word of the catalogue", "python -m chanattn.attention se"),
    Case("preparation of nothing", "python -m chanattn.data.prepare"),
    Case("preparation with an unknown flag", "python -m chanattn.data.prepare cifar10 --dir=D"),
    Case("cost of an unknown mechanism", f"{COST} --mechanisms=se,ceca,ecca"),
    Case("cost beside an unknown mechanism", f"{COST} --against=nothing"),
    Case("cost at a batch size that is none", f"{COST} --batch_sizes=1,0"),
    Case("cost in an unknown type", f"{COST} --precisions=int8"),
    Case("cost into a folder that is absent", f"{COST} --json=absent/cost.json"),
    Case("cost into one file twice", f"{COST} --json=cost --markdown=./cost"),
    Case("cost in no rounds", f"{COST} --rounds=0"),
    Case(
        "a worker without its config",
        "python -m chanattn.sweep.worker --workdir=RUN",
    ),
    Case(
        "a worker with a damaged config",
        "python -m chanattn.sweep.worker --job_config=seed0.json --workdir=RUN",
        text("seed0.json", '{"seed": 0'),
    ),
)
