"""Gates with a spatial part."""

import numpy as np

from chanattn.interop.names.layouts import Axes
from chanattn.interop.names.rules import Leaf, Rule, Table


def _strip(*ones: int) -> Axes:
    """A depthwise kernel along a strip, (C, 1, k) with further axes of one <-> (k, C)."""
    return Axes(
        lambda w: w.reshape(w.shape[0], -1).T,
        lambda w: np.expand_dims(w.T[:, None], ones),
    )


def _bands(one: int) -> Axes:
    """A convolution over all b bands, (O, G, b) with one more axis <-> a dense kernel (b G, O); O = b b G."""

    def there(w: np.ndarray) -> np.ndarray:
        rows, outputs = w.shape
        of_bands = w.reshape(outputs // rows, -1, outputs)
        return np.expand_dims(of_bands.transpose(2, 1, 0), one)

    return Axes(
        lambda w: w.reshape(*w.shape[:2], -1).transpose(2, 1, 0).reshape(-1, w.shape[0]), there
    )


_SCALAR = Axes(lambda w: w.reshape(()), lambda w: w.reshape(1))


_TRANSFORM = r"(?:ba|batransform)\."
_BAT = (
    ("conv1", "conv_in"),
    (rf"{_TRANSFORM}conv1", "conv_groups"),
    (rf"{_TRANSFORM}conv2", "conv_mix"),
    ("conv2", "conv_out"),
)
_AXES = (("h", "rows", 3), ("w", "columns", 2))  # and the axis of one that a kernel has

TABLES: dict[str, Table] = {
    "bam": (
        Rule(r"channel_att\.gate_c\.gate_c_fc_0", "channel/reduce"),
        Rule(r"channel_att\.gate_c\.gate_c_bn_1", "channel/norm"),
        Rule(r"channel_att\.gate_c\.gate_c_fc_final", "channel/expand"),
        Rule(r"spatial_att\.gate_s\.gate_s_(conv|bn)_reduce0", r"spatial/\g<1>1"),
        Rule(r"spatial_att\.gate_s\.gate_s_(conv|bn)_di_0", r"spatial/\g<1>2"),
        Rule(r"spatial_att\.gate_s\.gate_s_(conv|bn)_di_1", r"spatial/\g<1>3"),
        Rule(r"spatial_att\.gate_s\.gate_s_conv_final", "spatial/conv4"),
    ),
    "coord": (
        Rule(r"conv1", "reduce", "dense"),
        Rule(r"bn1", "bn"),
        *(Rule(rf"conv_{theirs}", ours, "dense") for theirs, ours, _ in _AXES),
    ),
    "simple_coord": (
        Rule(r"fc1", "reduce"),
        *(Rule(rf"fc_{theirs}", ours) for theirs, ours, _ in _AXES),
    ),
    "ela": (
        *(Rule(rf"conv_{h}", f"{ours}/conv", _strip(one)) for h, ours, one in _AXES),
        *(Rule(rf"norm_{theirs}", f"{ours}/norm") for theirs, ours, _ in _AXES),
        Rule(r"conv", "both/conv", _strip()),
        Rule(r"gn", "both/norm"),
    ),
    "strip": tuple(Rule(rf"conv_{h}", f"conv_{ours}", _strip(one)) for h, ours, one in _AXES),
    "triplet": (Rule(r"(cw|hc|hw)\.conv\.(conv|bn)", r"\1/\2"),),
    "danet_cam": (Leaf(r"gamma", "beta", _SCALAR),),
    "danet_pam": (
        Leaf(r"gamma", "gamma", _SCALAR),
        Rule(r"(query|key|value)_conv", r"\1"),
    ),
    "polarized": (
        Rule(r"conv_q_right|ch_wq", "channel/query"),
        Rule(r"conv_v_right|ch_wv", "channel/value"),
        Rule(r"conv_up\.0", "channel/reduce", "dense"),
        Rule(r"conv_up\.1|ln", "channel/norm", "norm"),
        Rule(r"conv_up|conv_up\.3|ch_wz", "channel/expand", "dense"),
        Rule(r"conv_q_left|sp_wq", "spatial/query"),
        Rule(r"conv_v_left|sp_wv", "spatial/value"),
    ),
    "double": (
        Rule(r"convA", "features"),
        Rule(r"convB", "gather"),
        Rule(r"convV", "distribute"),
        Rule(r"conv_reconstruct", "expand"),
    ),
    "non_local": (
        Rule(r"t", "query"),
        Rule(r"p", "key"),
        Rule(r"g", "value"),
        Rule(r"z", "expand"),
        Rule(r"norm|bn", "norm"),
    ),
    "bat": (
        *(Rule(rf"{theirs}\.(conv|0)", f"{ours}/conv") for theirs, ours in _BAT),
        *(Rule(rf"{theirs}\.(bn|1)", f"{ours}/bn") for theirs, ours in _BAT),
        Rule(rf"{_TRANSFORM}conv_p", "matrices/rows", _bands(3)),
        Rule(rf"{_TRANSFORM}conv_q", "matrices/columns", _bands(2)),
    ),
}
