"""The tables of segmentation: every variant valid and different, built with its head, one of them trained."""

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from chanattn import tasks
from chanattn.errors import UsageError
from chanattn.sweep import grid
from chanattn.training.config import to_json
from chanattn.training.validate import validate
from configs.ablations import segmentation

pytestmark = pytest.mark.usefixtures("traced_quickly")

ROOT = Path(__file__).resolve().parents[2]
ARGUMENTS = [f"{scale}-{table}" for scale in segmentation.SCALES for table in segmentation.TABLES]


def load(argument: str):
    return grid.load(f"{ROOT}/configs/ablations/segmentation.py:{argument}")


@pytest.mark.parametrize("argument", ARGUMENTS)
def test_every_variant_is_valid_and_another_network(argument):
    recipe, sweep = load(argument)
    configs = {v: grid.resolve(recipe, o) for v, o in sweep.variants.items()}
    for config in configs.values():
        validate(config)
    assert len({to_json(config.model) for config in configs.values()}) == len(configs)
    assert all(path.startswith("model.") for o in sweep.variants.values() for path in o)
    assert sweep.baseline == "none"
    if argument.startswith("tiny"):
        assert recipe.dataset.name == "shapes"  # nothing to download


@pytest.mark.parametrize("table", segmentation.TABLES)
def test_every_variant_differs_in_its_place_alone(table):
    recipe, sweep = load(f"tiny-{table}")
    image = jax.ShapeDtypeStruct((2, 40, 56, 3), jnp.float32)
    modules = {}
    for variant, overrides in sweep.variants.items():
        network = tasks.network(grid.resolve(recipe, overrides), 6)
        (logits, _), variables = jax.eval_shape(network.init_with_output, jax.random.key(0), image)
        assert logits.shape == (2, 40, 56, 6)
        paths = jax.tree_util.tree_leaves_with_path(variables["params"])
        modules[variant] = {jax.tree_util.keystr(path): leaf.shape for path, leaf in paths}
    plain = modules[sweep.baseline]
    for variant, found in modules.items():
        assert plain.items() <= found.items(), variant
        added = found.keys() - plain.keys()
        in_head = [path for path in added if path.startswith(f"['{recipe.model.head}']")]
        assert len(in_head) == (0 if table == "backbone" else len(added)), variant
        if variant not in (sweep.baseline, "simam"):
            assert added, variant


def test_without_a_table_it_is_that_of_the_backbone():
    assert load("camvid")[1] == load("camvid-backbone")[1]
    assert load("camvid-decoder")[0].model.head == "unet"


@pytest.mark.parametrize("argument", ["digits", "tiny-head", "tiny-", "camvit"])
def test_an_unknown_scale_or_table_is_refused(argument):
    with pytest.raises(
        UsageError, match="write one of tiny, camvid, by choice with one of backbone"
    ):
        load(argument)
