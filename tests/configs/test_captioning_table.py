"""The tables of captioning: every variant valid, different, and built as its name says."""

import jax
import jax.numpy as jnp
import pytest

from chanattn import tasks
from chanattn.data.captions import TOKENS
from chanattn.errors import UsageError
from chanattn.sweep import grid
from chanattn.training.config import to_json
from chanattn.training.validate import validate
from configs import coco_captions, shapes_captioning
from configs.ablations import captioning
from tests.conftest import ROOT

pytestmark = pytest.mark.usefixtures("traced_quickly")

ARGUMENTS = [f"{scale}-{table}" for scale in captioning.SCALES for table in captioning.TABLES]


def load(argument):
    return grid.load(f"{ROOT}/configs/ablations/captioning.py:{argument}")


def parameters(config):
    """Their shapes by path, of the network that learns from tokens."""
    network = tasks.network(config, 27)
    image = jax.ShapeDtypeStruct((2, 64, 64, 3), jnp.float32)
    tokens = jax.ShapeDtypeStruct((2, 5), jnp.int32)
    (logits, _), variables = jax.eval_shape(
        lambda x, words: network.init_with_output(jax.random.key(0), x, **{TOKENS: words}),
        image,
        tokens,
    )
    assert logits.shape == (2, 5, 27)
    paths = jax.tree_util.tree_leaves_with_path(variables["params"])
    return {jax.tree_util.keystr(path): leaf.shape for path, leaf in paths}


@pytest.mark.parametrize("argument", ARGUMENTS)
def test_every_variant_is_valid_and_differs_in_the_attention_of_the_decoder(argument):
    recipe, sweep = load(argument)
    recipe.dataset.data_dir = "."  # that of COCO is to be named
    configs = {v: grid.resolve(recipe, o) for v, o in sweep.variants.items()}
    for config in configs.values():
        validate(config)
    assert len({to_json(config.task) for config in configs.values()}) == len(configs)
    paths = {path for overrides in sweep.variants.values() for path in overrides}
    assert paths == {"task.attention", "task.layers", "task.conditioned"}
    assert sweep.baseline in sweep.variants
    assert recipe.dataset.name == ("folder" if argument.startswith("coco") else "shapes")
    assert bool(sweep.published) == (argument == "coco-attention")


@pytest.mark.parametrize("table", captioning.TABLES)
def test_every_variant_has_what_it_is_called_after(table):
    recipe, sweep = load(f"tiny-{table}")
    found = {v: parameters(grid.resolve(recipe, o)) for v, o in sweep.variants.items()}
    plain = found["none"]
    for variant, own in found.items():
        assert plain.items() <= own.items(), variant
        added = own.keys() - plain.keys()
        assert all(path.startswith("['lstm']['context']") for path in added), variant
        name, _, end = variant.partition("_")
        assert any("channel" in path for path in added) == (name in ("channel", "cs", "sc")), (
            variant
        )
        told = [path for path in added if "['condition']" in path]
        attentions = {"none": 0, "spatial": 1, "channel": 1, "cs": 2, "sc": 2}[name]
        assert len(told) == attentions * {"": 1, "2": 2, "cut": 0}[end], variant
        assert any("['branch']" in path for path in added) == (end == "2"), variant


def test_without_a_table_it_is_that_of_the_attention():
    assert load("shapes")[1] == load("shapes-attention")[1]
    assert load("shapes")[0].to_dict() == shapes_captioning.get_config("none").to_dict()


def test_coco_has_the_numbers_of_scacnn():
    c = load("coco")[0]
    assert (c.model.name, c.model.head_width, c.dataset.image_size) == ("resnet152", 1000, 224)
    assert (c.task.embedding, c.task.attention_width, c.task.unit_norm) == (100, 512, True)
    assert (c.task.beam, c.task.longest, c.dataset.least_count) == (5, 30, 5)
    assert (c.batch_size, c.model.dropout, c.task.doubly_stochastic) == (64, 0.5, 0.0)


@pytest.mark.parametrize("argument", ["digits", "shapes-neck", "shapes-", "told"])
def test_an_unknown_scale_or_table_is_refused(argument):
    with pytest.raises(UsageError, match="write one of tiny, shapes, coco, by choice with one of"):
        load(argument)


NECK = {"name": "sca", "placement": "neck"}


@pytest.mark.parametrize("recipe", [shapes_captioning, coco_captions])
def test_a_mechanism_at_the_neck_takes_the_place_of_the_decoders_own(recipe):
    config = recipe.get_config()
    config.model.attention.update(NECK | {"order": "sc", "width": 24})
    validate(config)
    found = parameters(config)
    scores = "['lstm']['context']['attentions_0']['{}_score']['features']['kernel']"
    assert {found[scores.format(kind)][1] for kind in ("channel", "spatial")} == {24}
    config.model.attention.update({"order": "cs", "spatial": False})
    del found
    assert scores.format("spatial") not in parameters(config)


def test_one_that_takes_no_state_is_for_a_decoder_that_tells_none():
    config = shapes_captioning.get_config()
    config.model.attention.update({"name": "se", "placement": "neck"})
    with pytest.raises(UsageError, match="'se' cannot be given the state.*conditioned=False"):
        validate(config)
    config.task.conditioned = False
    validate(config)
    assert any("['context']" in path for path in parameters(config))


def test_two_attentions_for_one_decoder_are_refused():
    config = shapes_captioning.get_config("spatial")
    config.model.attention.update(NECK)
    with pytest.raises(UsageError, match="task.attention=spatial and .*placement=neck both choose"):
        validate(config)


def test_attention_in_the_backbone_stands_beside_that_of_the_decoder():
    config = shapes_captioning.get_config()
    plain = parameters(config)
    config.model.attention.name = "se"
    validate(config)
    added = parameters(config).keys() - plain.keys()
    assert added
    assert all(path.startswith("['stage") for path in added)
