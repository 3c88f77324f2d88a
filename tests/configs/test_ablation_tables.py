"""Every sweep at every scale: valid, traceable, with the parameters that the papers give."""

from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from ml_collections import ConfigDict
from sampling import only

from chanattn import models
from chanattn.errors import UsageError
from chanattn.sweep import Sweep, grid
from chanattn.training.config import from_json, to_json
from chanattn.training.validate import validate
from configs.ablations import catalogue, fca_components, resnest_radix, scales, se_networks, simam
from configs.ablations.overrides import attention

pytestmark = pytest.mark.usefixtures("traced_quickly")

ROOT = Path(__file__).resolve().parents[2]
SIDES = {"digits": 8, "fashion_mnist": 28, "cifar10": 32, "cifar100": 32, "imagenet": 224}
CASES = [(name, scale) for name in catalogue.NAMES for scale in scales.SCALES]
EQUAL_COST = ("se_squeeze", "se_gate", "soft_hard")


def load(name: str, scale: str) -> tuple[ConfigDict, Sweep]:
    """What the command line reads."""
    return grid.load(f"{ROOT}/configs/ablations/{name}.py:{scale}")


@cache
def traced(model: str, side: int, blocks: int) -> tuple[dict[str, dict[str, Any]], Any]:
    """Shapes of the variables by top-level module, and the network; `blocks` a stage at most."""
    network = models.from_config(from_json(model), 10, "float32", "float32")
    if isinstance(network, models.ResNet):
        short = network.clone(layers=tuple(min(depth, blocks) for depth in network.layers))
    else:
        short = network
    image = jax.ShapeDtypeStruct((2, side, side, 3), jnp.float32)
    (logits, _), variables = jax.eval_shape(short.init_with_output, jax.random.key(0), image)
    assert logits.shape == (2, 10)
    return variables, network


def parameters(config: ConfigDict, side: int, classes: int = 1000) -> int:
    """Of the whole network: a stage's third block and those that follow are like its second."""
    variables, network = traced(to_json(config.model), side, 2)
    times = {f"stage{s}_block2": max(d - 1, 1) for s, d in enumerate(network.depths, 1)}
    total = sum(
        leaf.size * times.get(module, 1)
        for module, leaves in variables["params"].items()
        for leaf in jax.tree.leaves(leaves)
    )
    features = variables["params"]["classifier"]["kernel"].shape[0]
    return total + (classes - 10) * (features + 1)


def counts(name: str, scale: str = "imagenet") -> dict[str, int]:
    recipe, sweep = load(name, scale)
    side = SIDES[scale.partition("-")[0]]
    return {v: parameters(grid.resolve(recipe, o), side) for v, o in sweep.variants.items()}


def test_no_sweep_is_forgotten() -> None:
    helpers = {"__init__", "__main__", "catalogue", "overrides", "scales"}
    files = {path.stem for path in (ROOT / "configs" / "ablations").glob("*.py")}
    assert files - helpers == {*catalogue.NAMES, *catalogue.OTHER_TASKS}


@pytest.mark.parametrize(("name", "scale"), CASES)
def test_every_variant_is_a_valid_config(name: str, scale: str) -> None:
    recipe, sweep = load(name, scale)
    assert recipe.dataset.name == ("imagenet2012" if scale == "imagenet" else scale)
    configs = {v: grid.resolve(recipe, o) for v, o in sweep.variants.items()}
    for config in configs.values():
        validate(config)
    networks = {to_json(config.model) for config in configs.values()}
    assert len(networks) == len(configs), "two variants are the same"
    # The recipe is shared: what differs between the variants is the model alone.
    for v, overrides in sweep.variants.items():
        assert all(path.startswith("model.") for path in overrides), v


@pytest.mark.parametrize(("name", "scale"), CASES)
def test_a_sweep_is_complete(name: str, scale: str) -> None:
    _, sweep = load(name, scale)
    assert sweep.title
    assert sweep.note
    assert sweep.baseline in sweep.variants
    assert len(grid.seeds(sweep.seeds)) >= 5
    for published in sweep.published:
        assert published.source
        assert published.setting
        assert published.values
        assert set(published.values) <= set(sweep.variants)
        assert published.metric in ("top-1 error, %", "top-1 accuracy, %")
        assert published.higher_is_better == ("accuracy" in published.metric)


@pytest.mark.parametrize("scale", only(["digits"], ["digits", "cifar10", "imagenet"]))
@pytest.mark.parametrize("name", catalogue.NAMES)
def test_every_variant_can_be_built(name: str, scale: str) -> None:
    recipe, sweep = load(name, scale)
    for overrides in sweep.variants.values():
        traced(to_json(grid.resolve(recipe, overrides).model), SIDES[scale], 1)


@pytest.mark.parametrize("name", catalogue.NAMES)
def test_scales_of_one_size_have_the_same_networks(name: str) -> None:
    for scale, other in (("digits", "fashion_mnist"), ("cifar10", "cifar100")):
        (recipe, sweep), (second, twin) = load(name, scale), load(name, other)
        assert recipe.model.name == second.model.name
        assert sweep.variants == twin.variants


@pytest.mark.parametrize("name", EQUAL_COST)
def test_variants_that_compare_functions_have_equal_parameters(name: str) -> None:
    found = counts(name, "cifar10")
    assert len({count for variant, count in found.items() if variant != "none"}) == 1


# Millions of parameters as published, and how far ours may be: half a digit, and more where the papers did
# not round to nearest (SE adds 2 C^2 / r a block, which is 5.03 M at r = 8: 30.59 M, printed as 30.7).
PUBLISHED: dict[str, tuple[dict[str, float], float]] = {
    "se_reduction": (
        {"none": 25.6, "se_r2": 45.7, "se_r4": 35.7, "se_r8": 30.7, "se_r16": 28.1, "se_r32": 26.9},
        0.12,
    ),
    "se_squeeze": ({"none": 25.6, "avg": 28.1, "nosqueeze": 28.1}, 0.1),
    "se_stage": (
        {"none": 25.6, "se_stage2": 25.6, "se_stage3": 25.7, "se_stage4": 26.4, "se_all": 28.1},
        0.1,
    ),
    "se_placement": ({"none": 25.6, "se": 28.1, "se_3x3": 25.8}, 0.1),
    "sk_branches": ({"k3": 25.0, "k3_k5_sk": 27.5, "k3_k5_k7_sk": 29.3}, 0.1),
    "resnest_radix": (
        {
            "0s1x64d": 25.6,
            "1s1x64d": 26.3,
            "2s1x64d": 27.5,
            "4s1x64d": 31.9,
            "1s2x40d": 25.9,
            "2s2x40d": 26.9,
            "4s2x40d": 30.4,
            "1s4x24d": 25.7,
        },
        0.1,
    ),
    "epsa_groups": ({"groups_1_4_8_16": 22.56}, 0.005),
    "timm_family": ({"none": 19.68, "se": 19.78, "eca": 19.68, "gc": 19.88}, 0.005),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_those_of_the_paper(name: str) -> None:
    expected, rounding = PUBLISHED[name]
    found = counts(name)
    for variant, millions in expected.items():
        assert found[variant] / 1e6 == pytest.approx(millions, abs=rounding), variant


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        ("resnext26ts", {"none": 10.30, "se": 10.39, "eca": 10.30, "gc": 10.48}),
        ("resnet50", {"none": 25.56, "se": 28.09}),
        ("resnet26t", {"eca": 16.01}),
        ("resnext50_32x4d", {"none": 25.03, "se": 27.56}),
        ("resnext101_32x4d", {"none": 44.18, "se": 48.96}),
        ("resnet152d", {"none": 60.21, "se": 66.84}),
    ],
)
def test_timms_pairs_have_timms_parameters(network: str, expected: dict[str, float]) -> None:
    found = counts("timm_family", f"imagenet-{network}")
    for variant, millions in expected.items():
        assert found[variant] / 1e6 == pytest.approx(millions, abs=0.005), variant


# Channels at the end of the 16 blocks of ResNet-50.
WIDTHS = (256,) * 3 + (512,) * 4 + (1024,) * 6 + (2048,) * 3


def test_the_excitations_of_eca_cost_what_its_table_says() -> None:
    found = counts("eca_excitation")
    per_module = {
        "se": lambda c: c * c // 8,
        "se_var1": lambda c: 0,
        "se_var2": lambda c: c,
        "se_var3": lambda c: c * c,
        "se_gc1": lambda c: c * c // 16,
        "se_gc2": lambda c: 16 * c,
        "se_gc3": lambda c: 8 * c,
        "eca_ns": lambda c: 3 * c,
        "eca": lambda c: 3,
    }
    for variant, formula in per_module.items():
        assert found[variant] - found["none"] == sum(map(formula, WIDTHS)), variant


def test_simams_modules_add_what_its_table_says() -> None:
    found = counts("simam")
    assert (found["se"] - found["none"]) / 1e6 == pytest.approx(2.515, abs=0.0005)
    assert (found["cbam"] - found["none"]) / 1e6 == pytest.approx(2.533, abs=0.0005)
    assert found["simam"] == found["none"]


def test_a_sum_has_the_branches_and_no_attention() -> None:
    found = counts("sk_branches")
    assert found["k3"] == found["k5"] == found["k7"]
    assert found["k3_k5_sum"] == found["k3_k7_sum"] == found["k5_k7_sum"]
    assert found["k3_k5_sum"] < found["k3_k5_sk"] < found["k3_k5_k7_sum"] + 3e6


def test_second_branches_cost_the_same_with_a_smaller_share_of_their_groups() -> None:
    found = counts("sk_second_branch")
    assert found["k3_d3"] == found["k3_d2"] == found["k3_d1"]
    # 25 / 64 and 49 / 128 of the weights against 9 / 32.
    convolution = sum(
        planes * planes * n for planes, n in ((128, 3), (256, 4), (512, 6), (1024, 3))
    )
    assert found["k5_d1"] - found["k3_d1"] == convolution * 25 // 64 - convolution * 9 // 32
    assert found["k7_d1"] - found["k3_d1"] == convolution * 49 // 128 - convolution * 9 // 32


def test_a_gate_that_is_blind_has_one_number_a_channel() -> None:
    found = counts("input_matters")
    assert found["bias_only"] - found["none"] == found["static"] - found["none"] == sum(WIDTHS)
    assert found["constant"] == found["random"] == found["none"]


def test_an_architecture_in_the_argument_replaces_the_network() -> None:
    recipe, sweep = load("simam", "cifar100-resnet56")
    assert (recipe.dataset.name, recipe.model.name) == ("cifar100", "resnet56")
    assert sweep.published[0].values["se"] == (72.84, 0.51)
    assert load("simam", "cifar10-resnet44")[1].published == []
    recipe, sweep = load("se_networks", "cifar100-wide_resnet16_8")
    assert list(sweep.variants) == ["wide_resnet16_8", "wide_resnet16_8_se"]
    assert sweep.published[0].values == {"wide_resnet16_8": 20.43, "wide_resnet16_8_se": 19.14}
    assert load("fca_components", "imagenet-resnet34")[1].published[0].values["top16"] == 75.02


@pytest.mark.parametrize("table", [simam.CIFAR10, simam.CIFAR100, simam.IMAGENET])
def test_every_network_of_simams_tables_exists(table: dict[str, Any]) -> None:
    assert set(table) <= set(models.names())


def test_every_network_of_the_other_tables_exists() -> None:
    used = {*fca_components.TABLE, *se_networks.CIFAR, *se_networks.SMALL, *se_networks.LARGE}
    for names in (resnest_radix.PLAIN, *resnest_radix.WIDTHS.values()):
        used |= set(names.values())
    assert used <= set(models.names())


@pytest.mark.parametrize("data", scales.CIFAR)
def test_simam_trains_with_the_papers_recipe_on_both_cifars(data: str) -> None:
    c = simam.get_config(data)
    assert (c.steps, c.epochs, c.batch_size) == (64_000, 0, 128)
    assert [fraction * c.steps for fraction in c.schedule.boundaries] == [32_000, 48_000]
    assert (c.optimizer.learning_rate, c.optimizer.momentum) == (0.1, 0.9)
    assert (c.optimizer.weight_decay, c.schedule.factor) == (5e-4, 0.1)
    assert (c.dataset.augment.pad_crop, c.dataset.augment.flip) == (4, True)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("cifar", "unknown scale 'cifar'; valid: digits, .*, imagenet.*Did you mean 'cifar10'"),
        ("cifar10-resnet57", "unknown architecture 'resnet57' after cifar10-.*Did you mean"),
        ("cifar10-", "unknown architecture '' after cifar10-"),
    ],
)
@pytest.mark.parametrize("name", ["se_reduction", "se_networks", "resnest_radix", "simam"])
def test_an_unknown_scale_or_architecture_is_refused(
    name: str, argument: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message) as error:
        load(name, argument)
    assert "\n" not in str(error.value)


def test_a_sweep_over_architectures_refuses_one() -> None:
    with pytest.raises(UsageError, match="takes a scale alone: cifar10, not cifar10-resnet20"):
        load("resnest_radix", "cifar10-resnet20")


def test_overrides_are_dotted_paths() -> None:
    assert attention("se", reduction=4, placement="pre") == {
        "model.attention.name": "se",
        "model.attention.reduction": 4,
        "model.attention.placement": "pre",
    }


def test_the_page_is_current() -> None:
    again = "run: python -m configs.ablations --markdown"
    assert catalogue.PAGE.read_text() == catalogue.markdown(), again
