"""The tables of dense tasks: every variant valid and different, built with its head."""

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from chanattn import tasks
from chanattn.errors import UsageError
from chanattn.sweep import grid
from chanattn.training.config import to_json
from chanattn.training.validate import validate
from configs.ablations import catalogue

pytestmark = pytest.mark.usefixtures("traced_quickly")

ROOT = Path(__file__).resolve().parents[2]
MODULES = {name: catalogue.load(name) for name in ("segmentation", "detection")}
ARGUMENTS = [
    (name, f"{scale}-{table}")
    for name, module in MODULES.items()
    for scale in module.SCALES
    for table in module.TABLES
]
TINY = [(name, table) for name, module in MODULES.items() for table in module.TABLES]


def load(name: str, argument: str):
    return grid.load(f"{ROOT}/configs/ablations/{name}.py:{argument}")


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_every_variant_is_valid_and_another_network(name, argument):
    recipe, sweep = load(name, argument)
    configs = {v: grid.resolve(recipe, o) for v, o in sweep.variants.items()}
    for config in configs.values():
        validate(config)
    assert len({to_json(config.model) for config in configs.values()}) == len(configs)
    assert all(path.startswith("model.") for o in sweep.variants.values() for path in o)
    assert sweep.baseline == "none"
    if argument.startswith("tiny"):
        assert recipe.dataset.name == "shapes"  # nothing to download


@pytest.mark.parametrize(("name", "table"), TINY)
def test_every_variant_differs_in_its_place_alone(name, table):
    recipe, sweep = load(name, f"tiny-{table}")
    image = jax.ShapeDtypeStruct((2, 40, 56, 3), jnp.float32)
    modules = {}
    for variant, overrides in sweep.variants.items():
        network = tasks.network(grid.resolve(recipe, overrides), 6)
        variables = jax.eval_shape(network.init, jax.random.key(0), image)
        paths = jax.tree_util.tree_leaves_with_path(variables["params"])
        modules[variant] = {jax.tree_util.keystr(path): leaf.shape for path, leaf in paths}
    plain = modules[sweep.baseline]
    for variant, found in modules.items():
        assert plain.items() <= found.items(), variant
        added = found.keys() - plain.keys()
        in_head = [path for path in added if path.startswith(f"['{network.head}']")]
        assert len(in_head) == (0 if table == "backbone" else len(added)), variant
        if variant not in (sweep.baseline, "simam"):
            assert added, variant


def test_without_a_table_it_is_that_of_the_backbone():
    assert load("segmentation", "camvid")[1] == load("segmentation", "camvid-backbone")[1]
    assert load("segmentation", "camvid-decoder")[0].model.head == "unet"


def test_published_detections_stand_beside_those_of_coco_alone():
    assert {"splat", "epsa"} <= load("detection", "coco")[1].variants.keys()
    assert load("detection", "coco")[1].published
    assert not load("detection", "bccd")[1].published


@pytest.mark.parametrize("argument", ["digits", "tiny-head", "tiny-", "camvit"])
def test_an_unknown_scale_or_table_is_refused(argument):
    with pytest.raises(
        UsageError, match="write one of tiny, camvid, by choice with one of backbone"
    ):
        load("segmentation", argument)
