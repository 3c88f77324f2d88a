"""Parameters and multiply-accumulates of networks: against published counts, sums and definitions."""

import csv
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from flax.traverse_util import flatten_dict
from sampling import every
from timm_networks import shallow

from chanattn import attention, macs, models, onednn
from chanattn.analysis.cost.measure import network, pictures_of
from chanattn.analysis.modules import NetworkCost, network_cost
from chanattn.layers import kernels
from chanattn.models.timm_names import NETWORKS
from configs import shapes_captioning
from tests.conftest import ROOT

GOLDEN = ROOT / "tests" / "golden"

# timm counts two for every output of a batch norm, and five for every weight of a kernel that is
# standardised. Where convolutions are cheap, that is more than 1 %.
MANY_NORMS = (
    *("regnetx_008", "regnetx_016", "regnety_008", "regnety_016", "regnetz_005", "regnetz_b16"),
    *("nf_regnet_b1", "nf_seresnet26", "nf_ecaresnet26", "nf_seresnet50", "nf_ecaresnet50"),
    *("mixnet_m", "hardcorenas_f"),
    *("ghostnet_130", "repghostnet_200", "rexnet_150", "rexnetr_150"),
    *("efficientnet_b0", "mobilenetv2_100", "mobilenetv3_large_100", "mobilenetv3_small_100"),
    *("eca_resnext26ts", "seresnext26ts"),
)
CONVOLUTIONS = ("conv", "shortcut", "stem_conv", "final_conv")  # of a network without norms
# timm's table has the figures of another network in this row, as its number of parameters shows.
WRONG = ("ecaresnext50t_32x4d",)


def rows(file: str) -> list[dict[str, str]]:
    with (GOLDEN / file).open() as lines:
        return list(csv.DictReader(lines))


def published() -> dict[tuple[str, int], float]:
    """GMACs by network and size of the picture."""
    plain = {
        (row["name"], int(row["timm_img_size"])): float(row["timm_gmacs"])
        for row in rows("params.csv")
        if row["name"] in NETWORKS and row["timm_gmacs"] and row["name"] not in WRONG
    }
    return plain | {
        (row["network"], int(row["size"])): float(row["gmacs"]) for row in rows("timm_gmacs.csv")
    }


@cache
def counted(network: str, size: int, deep: int = 0) -> tuple[int, int]:
    """MACs, and what timm counts beside: see above."""
    # With ReLU, because a batch norm's module has the activation too, and SiLU has a product of its own.
    model = models.create(network)
    standardised = isinstance(model, models.NFNet)
    model = model if standardised else model.clone(activation="relu")
    model, left_out = shallow(model, deep)
    in_all = further = 0
    for path, own in network_cost(model, (size, size, 3)).modules.items():
        times = 1 + left_out.get(path[0], 0) if path else 1
        in_all += own.macs.total * times
        if path and path[-1].rstrip("0123456789").endswith("bn"):
            # One product an output, beside one for every channel.
            further += 2 * (own.macs.elementwise - own.parameters // 2) * times
        elif standardised and path and path[-1].startswith(CONVOLUTIONS):
            further += 5 * own.parameters * times
    return in_all, further


@pytest.mark.parametrize(("network", "size"), every(6, published()))
def test_networks_have_the_macs_that_timm_publishes(network: str, size: int) -> None:
    own, further = counted(network, size)
    expected = published()[network, size] * 1e9
    if network not in MANY_NORMS:
        assert own == pytest.approx(expected, rel=0.01)
    # With timm's convention little but the rounding to two decimals is left.
    assert own + further == pytest.approx(expected, abs=0.005e9 + 0.002 * expected)


CIFAR: dict[str, dict[str, Any]] = {
    "cifar_resnet20_optionA_10cls": {},
    "cifar_resnet20_optionB_10cls": {"shortcut": "projection"},
    "cifar_resnet20_optionA_se_r16_bias_10cls": {"attention": "se"},
}


@pytest.mark.parametrize("row", CIFAR)
def test_cifar_networks_have_the_macs_of_their_definition(row: str) -> None:
    (expected,) = (line for line in rows("params.csv") if line["name"] == row)
    cost = network_cost(models.create("resnet20", num_classes=10, **CIFAR[row]), (32, 32, 3))
    assert cost.total.macs.total == int(expected["macs32_conv_linear"])


def test_blocks_that_are_not_made_are_counted() -> None:
    assert counted("seresnet50", 224) == counted("seresnet50", 224, deep=1000)


@cache
def small(name: str, chosen: str) -> NetworkCost:
    return network_cost(models.create(name, num_classes=10, attention=chosen), (16, 16, 3))


def variables_of(name: str, chosen: str) -> Any:
    model = models.create(name, num_classes=10, attention=chosen)
    image = jax.ShapeDtypeStruct((1, 16, 16, 3), jnp.float32)
    return model, image, jax.eval_shape(model.init, jax.random.key(0), image)


CASES = [("resnet8", "cbam"), ("resnet8", "dia"), ("resnet8", "sk"), ("vovnet39b", "ese")]


@pytest.mark.parametrize(("name", "chosen"), CASES)
def test_modules_have_the_parameters_of_the_flax_tree(name: str, chosen: str) -> None:
    _, _, variables = variables_of(name, chosen)
    expected: dict[tuple[str, ...], int] = {}
    for path, leaf in flatten_dict(variables["params"]).items():
        expected[path[:-1]] = expected.get(path[:-1], 0) + leaf.size
    own = {path: cost.parameters for path, cost in small(name, chosen).modules.items()}
    assert {path: number for path, number in own.items() if number} == expected


@pytest.mark.parametrize(("name", "chosen"), CASES)
def test_macs_of_the_modules_sum_to_those_of_the_network(name: str, chosen: str) -> None:
    model, image, variables = variables_of(name, chosen)
    with kernels.chosen("plain"):
        whole = macs.count(model.apply, variables, image)
    cost = small(name, chosen)
    assert cost.total.macs == whole
    for depth in (1, 2, 5):
        assert sum(own.macs.total for own in cost.grouped(depth).values()) == whole.total


def test_a_convolution_has_the_macs_of_its_map_and_kernel() -> None:
    modules = small("resnet8", "se").modules
    assert modules["stem", "conv1"].macs == macs.Macs(conv=16 * 16 * 16 * 27)
    assert modules["stage2_block1", "conv1"].macs == macs.Macs(conv=8 * 8 * 32 * 16 * 9)
    assert modules["classifier",].macs == macs.Macs(dot=64 * 10)


def test_the_share_of_a_mechanism_is_what_it_adds_to_the_plain_backbone() -> None:
    plain, se = small("resnet8", "identity"), small("resnet8", "se")
    assert plain.attention_total.parameters == plain.attention_total.macs.products == 0
    own = se.attention_total
    assert own.parameters == se.total.parameters - plain.total.parameters
    assert own.macs.total == se.total.macs.total - plain.total.macs.total
    # Two layers of width C / 16 with biases in the three blocks.
    assert own.parameters == sum(2 * c * (c // 16) + c + c // 16 for c in (16, 32, 64))
    assert own.macs.dot == sum(2 * c * (c // 16) for c in (16, 32, 64))
    assert se.attention_within(("stage1_block1",)).macs.dot == 2 * 16


def test_a_module_that_serves_a_whole_stage_is_counted_as_itself() -> None:
    model = models.create("resnet14", num_classes=10, attention="dia")
    cost = network_cost(model, (16, 16, 3))
    alone = attention.create("dia")
    # Two blocks a stage call it: from 16 inputs, gates of 4 x 16 through a bottleneck, twice.
    shapes = jax.eval_shape(
        alone.init, jax.random.key(0), jax.ShapeDtypeStruct((1, 16, 16, 16), jnp.float32)
    )
    parameters = sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))
    whole = cost.grouped(1)["stage1_attention",]
    assert whole.parameters == parameters
    once = network_cost(models.create("resnet8", num_classes=10, attention="dia"), (16, 16, 3))
    assert whole.macs.dot == 2 * once.grouped(1)["stage1_attention",].macs.dot
    assert cost.attention_total.macs.dot == sum(
        own.macs.dot for path, own in cost.grouped(1).items() if "attention" in "".join(path)
    )


def test_a_mechanism_of_the_conv_slot_is_attention_as_a_whole() -> None:
    cost = small("resnet8", "sk")
    inside = cost.attention_within(("stage1_block1", "conv1"))
    assert inside == cost.grouped(2)["stage1_block1", "conv1"]
    assert inside.macs.conv > 0


@pytest.mark.parametrize("name", kernels.NAMES)
def test_counts_do_not_depend_on_the_kernels(name: str) -> None:
    if name == "onednn" and not onednn.available():
        pytest.skip("no oneDNN here")
    with kernels.chosen(name):
        cost = network_cost(models.create("resnest14d", num_classes=10), (32, 32, 3))
        assert kernels.current() == name or name == "auto"
    with kernels.chosen("plain"):
        assert cost == network_cost(models.create("resnest14d", num_classes=10), (32, 32, 3))


def test_a_caption_costs_every_matrix_of_its_decoder_once_a_word() -> None:
    def cost(words: int) -> NetworkCost:
        config = shapes_captioning.get_config()
        config.task.attention, config.task.longest = "none", words
        return network(config, pictures_of(config))

    short, long = cost(10), cost(20)
    config = shapes_captioning.get_config()
    embedding, width, context, vocabulary = config.task.embedding, 128, 256, 23
    gates = 4 * width * (embedding + context + width)
    output = embedding * (width + context + vocabulary)
    assert long.total.macs.dot - short.total.macs.dot == 10 * (gates + output)
    assert long.total.macs.conv == short.total.macs.conv > 0
    assert long.total.parameters == short.total.parameters


def test_nothing_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("compiled")

    monkeypatch.setattr(jax.stages.Lowered, "compile", fail)
    before = len(jax.live_arrays())
    network_cost(models.create("resnet8", attention="se"), (224, 224, 3))
    assert len(jax.live_arrays()) <= before + 1  # the key
