"""Errors of the conversion; the arrays themselves are compared in tests/attention and tests/models."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import parity
import pytest

from chanattn import models
from chanattn.errors import UsageError
from chanattn.interop import from_torch

SE = {"fc1.weight": np.ones((2, 8, 1, 1)), "fc2.weight": np.ones((8, 2, 1, 1))}


def test_unknown_targets_and_names_are_refused() -> None:
    with pytest.raises(UsageError, match="no PyTorch names are known for attention 'channel'"):
        from_torch("channel", {})
    with pytest.raises(
        UsageError, match="'eka' is neither an architecture .* nor a mech.* Did you mean 'e"
    ):
        from_torch("eka", {})
    with pytest.raises(
        UsageError, match=r"one of timm's \(hgnet.py\) that is not here yet; `python"
    ):
        from_torch("hgnet_tiny.paddle_in1k", {}, num_classes=10)
    with pytest.raises(UsageError, match="is neither.* Or 'resnet50' with an attention"):
        from_torch("cbamresnet50", {})
    with pytest.raises(UsageError, match="parameter 'fc1.gamma' has no counterpart"):
        from_torch("se", SE | {"fc1.gamma": np.ones(2)})
    with pytest.raises(UsageError, match="parameter 'fc3.weight' has no counterpart"):
        from_torch("se", SE | {"fc3.weight": np.ones((8, 2, 1, 1))})
    with pytest.raises(UsageError, match="image_size is for networks; 'se' is a mechanism"):
        from_torch("se", SE, image_size=32)


def test_an_empty_state_is_for_mechanisms_without_parameters() -> None:
    assert from_torch("simam", {}) == {}
    with pytest.raises(UsageError, match="has no arrays, and 'se' needs some"):
        from_torch("se", {})


def test_a_network_must_be_complete_and_fit(golden: Path) -> None:
    model = models.create(
        "resnet8", num_classes=10, shortcut="projection", attention={"name": "simam"}
    )
    state = parity.state_dict(parity.load(golden / "nets" / "cifar_resnet8_simam.npz"))
    assert set(from_torch(model, state)) == {"params", "batch_stats"}
    with pytest.raises(UsageError, match="lacks 1 arrays, e.g. for 'params/classifier/bias'"):
        from_torch(model, {k: v for k, v in state.items() if k != "linear.bias"})
    with pytest.raises(UsageError, match=r"'params/classifier/bias' has shape \(5,\) in PyTorch"):
        from_torch(model, state | {"linear.bias": np.ones(5)})


def test_parameters_may_depend_on_the_size_of_the_pictures(golden: Path) -> None:
    """Learned global gather-excite has a kernel of the map's size."""
    state = parity.state_dict(parity.load(golden / "nets" / "cifar_resnet8_simam.npz"))
    for stage, channels, size in ((1, 16, 8), (2, 32, 4), (3, 64, 2)):
        prefix = f"layer{stage}.0.se.conv"
        state[f"{prefix}.0.weight"] = np.ones((channels, 1, size, size))
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            state[f"{prefix}.1.{leaf}"] = np.ones(channels)
    options = {
        "num_classes": 10,
        "shortcut": "projection",
        "attention": {"name": "ge", "variant": "theta"},
    }
    variables = from_torch("resnet8", state, image_size=8, **options)
    kernel = variables["params"]["stage2_block1"]["attention"]["gather"]["conv1"]["kernel"]
    assert kernel.shape == (4, 4, 1, 32)
    with pytest.raises(UsageError, match=r"gather/conv1/kernel' has shape .* in PyTorch, .* here"):
        from_torch("resnet8", state, **options)


def test_options_of_mechanisms_are_taken_and_checked() -> None:
    assert set(from_torch("se", SE, reduction=4, rounding="timm")["params"]["mix"]) == {
        "reduce",
        "expand",
    }
    with pytest.raises(UsageError, match="'se' takes no option 'reductoin'"):
        from_torch("se", SE, reductoin=4)


class Tensor:
    """As much of a PyTorch tensor as is used: NumPy cannot read its bfloat16, nor what has a gradient."""

    def __init__(self, numbers: list[float], kind: str = "float") -> None:
        self.numbers, self.kind = numbers, kind

    def detach(self) -> "Tensor":
        return Tensor(self.numbers, "bfloat16")

    def cpu(self) -> "Tensor":
        return self

    def is_floating_point(self) -> bool:
        return True

    def float(self) -> "Tensor":
        return Tensor(self.numbers, "float")

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        if self.kind == "sparse":
            raise TypeError("can't convert Sparse tensor to numpy")
        if self.kind != "float":
            raise TypeError("Got unsupported ScalarType BFloat16")
        return np.asarray(self.numbers, np.float32)


def test_tensors_of_types_that_numpy_lacks_are_read() -> None:
    params = from_torch("grn", {"weight": Tensor([1.5, 2.5], "bfloat16")})["params"]
    (array,) = jax.tree.leaves(params)
    assert array.tolist() == [1.5, 2.5]
    low = from_torch("se", {"fc1.bias": jnp.ones(2, jnp.bfloat16)})["params"]["mix"]["reduce"]
    assert low["bias"].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ([1], "a PyTorch state maps names to arrays.* this is a list"),
        ({3: np.ones(2)}, "names of a PyTorch state must be text, not 3"),
        ({"network": SE, "epoch": 3}, r"take state_dict\['network'\]"),
        ({"fc1.bias": "text"}, "'fc1.bias' is no array of real numbers but <U4"),
        ({"fc1.bias": np.ones(2, np.complex64)}, "no array of real numbers but complex64"),
        ({"fc1.bias": [[1], [2, 3]]}, "'fc1.bias' is a list that NumPy cannot read"),
        (
            SE | {"conv_reduce.weight": np.ones((2, 8, 1, 1))},
            "'fc1.weight' and 'conv_reduce.weight' are the same one here, .*mix/reduce/kernel",
        ),
    ],
)
def test_what_is_no_state_dict_is_refused(state: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        from_torch("se", state)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {f"module.{name}": array for name, array in state.items()},
        lambda state: {f"_orig_mod.module.model.{name}": array for name, array in state.items()},
        lambda state: {
            name if "linear" in name else f"backbone.{name}": array for name, array in state.items()
        },
        lambda state: {"epoch": 3, "state_dict": {f"encoder.{n}": a for n, a in state.items()}},
        lambda state: {"model": {"state_dict": state}, "model_ema": None},
        lambda state: {"model": {"nothing": 0}, "model_ema": {"module.n_averaged": 1} | state},
        lambda state: {f"state_dict_ema.{n}": a for n, a in state.items()} | {"state_dict.x": 1},
        lambda state: {"state_dict": {"x": 1}, "state_dict_ema": state},
        lambda state: state | {"bn1.num_batches_tracked": np.int64(9)},
    ],
)
def test_what_programs_put_around_a_state_is_taken_off(wrap: Any, golden: Path) -> None:
    model = models.create("resnet8", num_classes=10, shortcut="projection", attention="simam")
    state = dict(parity.state_dict(parity.load(golden / "nets" / "cifar_resnet8_simam.npz")))
    wanted, found = from_torch(model, state), from_torch(model, wrap(state))
    assert jax.tree.all(jax.tree.map(jnp.array_equal, wanted, found))


@pytest.mark.parametrize("wrapper", ["student.", "encoder.q.", "net.0."])
def test_names_with_a_wrapper_in_front_get_a_hint(wrapper: str, golden: Path) -> None:
    model = models.create(
        "resnet8", num_classes=10, shortcut="projection", attention={"name": "simam"}
    )
    state = parity.state_dict(parity.load(golden / "nets" / "cifar_resnet8_simam.npz"))
    wrapped = {wrapper + name: array for name, array in state.items()}
    with pytest.raises(UsageError, match=f"without '{wrapper}'.*removeprefix") as caught:
        from_torch(model, wrapped)
    assert "\n" not in str(caught.value)
    head = {name: array for name, array in state.items() if name.startswith("linear")}
    rest = {name: array for name, array in wrapped.items() if "linear" not in name}
    with pytest.raises(UsageError, match=f"without '{wrapper}'"):
        from_torch(model, head | rest)
    with pytest.raises(UsageError) as caught:
        from_torch(model, wrapped | {"queue": np.ones(3)})
    assert "without" not in str(caught.value)


def blank(names: list[str]) -> dict[str, np.ndarray]:
    """Arrays under such names; what their shapes are is looked at later."""
    return {name: np.ones(1) for name in names}


RESNET = ["conv1.weight", "layer1.0.conv1.weight", "fc.weight"]
SENET = ["layer0.conv1.weight", "layer1.0.conv1.weight", "last_linear.weight"]
BYOB = ["stem.conv1.conv.weight", "stages.0.0.conv1_1x1.conv.weight", "head.fc.weight"]


@pytest.mark.parametrize(
    ("row", "names", "message"),
    [
        (
            "resnet50",
            SENET,
            "'layer0.conv1.weight' is of .*senet.py.*architecture 'legacy_resnet50'$",
        ),
        ("resnet50", ["layer1.0.se_module.fc1.weight"], "architecture 'legacy_resnet50'$"),
        ("resnext50_32x4d", SENET, "architecture 'legacy_resnext50_32x4d'$"),
        ("resnet18", SENET, "architecture 'legacy_resnet18'$"),
        ("senet154", SENET, "architecture 'legacy_senet154'$"),
        ("legacy_resnet50", RESNET, "'conv1.weight' is of .*resnet.py.*architecture 'resnet50'$"),
        ("legacy_senet154", ["layer2.1.se.fc1.weight"], "resnet.py.*architecture 'senet154'$"),
        ("resnet50t", BYOB, "'stem.conv1.conv.weight'.*byobnet.py.*'resnet50t_strided'$"),
        ("resnet50t_strided", RESNET, "resnet.py.*'resnet50'.*'resnet50t'"),
        ("resnet33ts", SENET, "senet.py"),
        ("resnet8", SENET, "senet.py, whose strides or pools differ.*may fit$"),
    ],
)
def test_names_of_networks_that_are_built_otherwise_are_refused(
    row: str, names: list[str], message: str
) -> None:
    attention = {"name": "se", "placement": "mid" if row.endswith(("ts", "strided")) else "post"}
    model = models.create(row, num_classes=7, attention=attention)
    with pytest.raises(UsageError, match=message):
        from_torch(model, blank(names))


def test_where_parameters_depend_on_the_pictures_the_message_names_their_size() -> None:
    """Bilinear transforms of 7 bands, as those of ImageNet, do not go into maps of 32 x 32."""
    with pytest.raises(
        UsageError, match="block_size=7 does not divide .* not 32 x 32, give image_size"
    ):
        from_torch("resnet8", {}, attention={"name": "bat", "block_size": 7})
    for attention in ("bat", {"name": "ge", "variant": "theta"}):
        with pytest.raises(UsageError, match="For pictures that are not 32 x 32, give image_size"):
            from_torch("resnet8", {}, attention=attention)
    with pytest.raises(UsageError) as caught:
        from_torch("resnet8", {}, attention="se")
    assert "image_size" not in str(caught.value)
