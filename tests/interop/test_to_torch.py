"""Variables to PyTorch: the exact inverse of from_torch, under the names of timm's files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import members
import numpy as np
import parity
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict
from timm_networks import shallow

from chanattn import models
from chanattn.errors import UsageError
from chanattn.interop import from_torch, to_torch
from chanattn.interop.families import words
from chanattn.interop.from_torch import convert
from chanattn.interop.names import MECHANISMS, network_table, spell
from chanattn.interop.to_torch import rename
from chanattn.models import ResNet
from chanattn.models.timm_names import EFFICIENT_SE, GC, HARD_SE, MOBILE_SE, TIMM_SE
from chanattn.models.timm_names import NETWORKS as TIMM
from tests.models.test_reference_networks import NETWORKS
from tests.support.sampling import every
from tests.support.shapes import traced_quickly  # noqa: F401 - a fixture

pytestmark = pytest.mark.usefixtures("traced_quickly")

# Files of timm's modules that are the whole mechanism, by the beginning of their names.
OF_TIMM = {
    "se": "se",
    "legacy_se": "se",
    "mobile_se": "se",
    "eca_": "eca",
    "ecam": "eca_mlp",
    "ceca": "ceca",
    "cbam_c": "cbam",
    "lcbam": "cbam_light",
    "coord": "coord",
    "scoord": "simple_coord",
    "ela": "ela",
    "strip": "strip",
    "ese": "ese",
    "gc": "gc",
    "ge": "ge",
    "grn": "grn",
    "non_local": "non_local",
    "bat": "bat",
    "sk_paper": "sk",
    "sk_split": "sk",
    "splat": "splat",
}
# Of authors' code, where that has one spelling and no fixed buffers.
OF_AUTHORS = {
    **{"cse_c16": "cse", "sse_c16": "sse", "scse_max_c8": "scse", "eca_ns_k5": "eca_ns"},
    **{"gct_l2": "gct", "gaussian_gct_b1_thirdparty": "gaussian_ct", "srm": "srm", "lct_g4": "lct"},
    **{"sge_g2": "sge", "sa_shuffle_g4_c32": "shuffle", "danet_cam": "danet_cam", "simam": "simam"},
    **{
        "bam_c32": "bam",
        "triplet": "triplet",
        "coord_official_c32": "coord",
        "dia_cell_c24": "dia",
    },
    **{"eca_official_k5": "eca", "polarized_official_parallel_c16": "polarized"},
    **{"gsop_channel_s1": "gsop", "epsa_psa_c64_s2": "epsa", "enc_module": "encnet"},
    "splat_official_r2k1_c16": "splat",
}


def numbers(shapes: Mapping[str, Any]) -> dict[str, Any]:
    """Variables of such shapes whose elements all differ, so that none can be in another's place."""
    generator = np.random.default_rng(0)
    flat = flatten_dict(dict(shapes), sep="/")
    drawn = {path: generator.random(leaf.shape, np.float32) for path, leaf in flat.items()}
    return unflatten_dict(
        {path: drawn[path].astype(leaf.dtype) for path, leaf in flat.items()}, sep="/"
    )


def assert_same(ours: Any, theirs: Any) -> None:
    ours, theirs = flatten_dict(ours, sep="/"), flatten_dict(theirs, sep="/")
    assert ours.keys() == theirs.keys()
    for path, array in ours.items():
        assert array.dtype == theirs[path].dtype, path
        np.testing.assert_array_equal(array, theirs[path], err_msg=path)


def assert_same_state(state: Mapping[str, np.ndarray], reference: Mapping[str, Any]) -> None:
    assert state.keys() == reference.keys()
    for name, array in reference.items():
        assert state[name].shape == array.shape, name
        if not name.endswith("num_batches_tracked"):
            np.testing.assert_array_equal(state[name], array, err_msg=name)
        else:
            assert state[name].dtype == np.int64


def variables_of(model: models.Network, side: int = 64) -> dict[str, Any]:
    image = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    return numbers(dict(jax.eval_shape(model.init, jax.random.key(0), image)))


def timm_files(golden: Path) -> dict[str, str]:
    names = {path.stem.removeprefix("timm_") for path in golden.glob("modules/timm_*.npz")}
    begins = {name: [b for b in OF_TIMM if name.startswith(b)] for name in names}
    del begins["cbam_channel_c24"], begins["cbam_channel_bias_c64"]  # a part of CBAM
    return {f"timm_{n}": OF_TIMM[max(found, key=len)] for n, found in begins.items() if found}


def test_modules_get_the_names_and_arrays_of_the_released_code(golden: Path) -> None:
    files = timm_files(golden)
    assert set(files.values()) == set(OF_TIMM.values())
    for file, name in (files | OF_AUTHORS).items():
        state = parity.state_dict(parity.load(golden / "modules" / f"{file}.npz"))
        naming = "efficientnet.py" if "mobile" in file else "timm"
        groups = {"groups": int(file.split("k")[1][0])} if name == "splat" else {}
        variables = from_torch(name, state, **groups)
        assert_same_state(to_torch(name, variables, naming=naming, **groups), state)


@pytest.mark.parametrize("name", [name for name in NETWORKS if not name.startswith("cifar")])
def test_networks_get_the_names_and_arrays_of_timm(name: str, golden: Path) -> None:
    model = NETWORKS[name]
    state = parity.state_dict(parity.load(golden / "nets" / f"{name}.npz"))
    assert_same_state(rename(convert_back(model, state), network_table(model), words(model)), state)


def convert_back(model: models.Network, state: Mapping[str, np.ndarray]) -> dict[str, Any]:
    groups = model.cardinality if isinstance(model, ResNet) else 1
    return convert(state, network_table(model), groups)


@pytest.mark.parametrize("name", MECHANISMS)
def test_every_mechanism_comes_back_to_the_bit(name: str) -> None:
    variables = members.variables_of(name)
    if name == "epsa":  # the authors' module leaves its norm to the block
        variables = {"params": {k: v for k, v in variables["params"].items() if k != "bn"}}
    assert_same(from_torch(name, to_torch(name, variables)), variables)


ROWS = [
    name
    for name in models.names()
    if not name.startswith(("preact", "wide_resnet16", "wide_resnet28"))
    and not name.endswith(("_b7", "_b8", "_l2", "v2_l", "v2_xl"))
]
"""Pre-activation networks have a last norm, whose name no code of timm tells; the largest add none."""


@pytest.mark.slow
@pytest.mark.parametrize("row", every(36, ROWS))
def test_every_architecture_comes_back_to_the_bit(row: str) -> None:
    """A few from the whole table; one of each kind has a test of its own below."""
    chosen = [each.attention for each in TIMM.values() if each.architecture == row] or [TIMM_SE]
    chosen = ["identity", *filter(None, chosen), {"name": "eca"}, GC]
    chosen = [att for i, att in enumerate(chosen) if att not in chosen[:i]]
    for each in chosen:
        comes_back(row, each)


@pytest.mark.parametrize(
    ("row", "each"),
    [
        ("resnet20", TIMM_SE),
        ("legacy_resnet18", {"name": "se"}),
        ("resnetrs50", TIMM_SE),
        ("resnext26ts", GC),
        ("resnest50d_4s2x40d", None),
        ("skresnext50_32x4d", None),
        ("vovnet19b_dw", {"name": "ese"}),
        ("efficientnet_b0", EFFICIENT_SE),
        ("tf_efficientnetv2_b0", EFFICIENT_SE),
        ("mobilenetv3_small_050", MOBILE_SE),
        ("efficientnet_es", None),
        ("lcnet_035", HARD_SE),
    ],
)
def test_architectures_of_all_kinds_come_back_to_the_bit(row: str, each: Any) -> None:
    comes_back(row, each)


def comes_back(row: str, chosen: Any) -> None:
    model, _ = shallow(models.create(row, num_classes=3, attention=chosen), 8)
    large = isinstance(chosen, dict) and chosen["name"] == "bat"  # its blocks divide no small maps
    variables = variables_of(model, 256 if large else 64)
    state = rename(variables, network_table(model), words(model))
    assert_same(convert_back(model, state), variables)


def test_what_has_no_names_is_refused_in_one_line() -> None:
    with pytest.raises(UsageError, match="no PyTorch names are known for attention 'channel'"):
        to_torch("channel", {})
    with pytest.raises(UsageError, match="no PyTorch name is known for 'params/mix/third/kernel'$"):
        to_torch("se", {"params": {"mix": {"third": {"kernel": np.ones((2, 2))}}}})
    with pytest.raises(UsageError, match="unknown naming 'tim'; valid: 'timm', .* Did you mean"):
        to_torch("se", {}, naming="tim")
    with pytest.raises(UsageError, match="leave out 'opt_state'"):
        to_torch("se", {"params": {}, "opt_state": {}})
    model = models.create("resnet8", num_classes=3)
    with pytest.raises(UsageError, match="unknown naming 'senet.py'; valid: 'timm', 'resnet.py'"):
        to_torch(model, {}, naming="senet.py")
    with pytest.raises(UsageError, match="set of variables lacks .* arrays"):
        to_torch(model, {"params": {}})
    preact = models.create("preact_resnet20", num_classes=3)
    with pytest.raises(UsageError, match="no PyTorch name is known for 'batch_stats/bn/mean' .nor"):
        to_torch(preact, variables_of(preact, 32))


def test_a_network_is_renamed_whole_in_the_types_it_has() -> None:
    model = models.create("resnet8", num_classes=3, param_dtype=jnp.bfloat16)
    variables = variables_of(model, 32)
    state = to_torch(model, variables)
    assert state["fc.weight"].shape == (3, 64)
    assert state["conv1.weight"].dtype == jnp.bfloat16
    assert_same(from_torch(model, state), variables)


def test_the_first_spelling_that_a_pattern_would_try_is_the_canonical_one() -> None:
    table = network_table(models.create("resnet50", attention="se"))
    path = "stage2_block1/attention/mix/reduce"
    assert spell(path, table)[0] == "layer2.0.se.fc1"  # type: ignore[index]
    assert spell(path, table, {"attn_last", "stages"})[0] == "stages.1.0.attn_last.fc1"  # type: ignore[index]
    assert spell("stage9_block1/conv1", table) is None
