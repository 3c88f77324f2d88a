"""Gates with a spatial part."""

import numpy as np

from chanattn.interop.names.rules import Leaf, Rule, Table


def _taps(w: np.ndarray) -> np.ndarray:
    """(C, 1, k, 1), (C, 1, 1, k) or (C, 1, k): a depthwise kernel along a strip becomes (k, C)."""
    return w.reshape(w.shape[0], -1).T


def _bands(w: np.ndarray) -> np.ndarray:
    """(O, G, b, 1) or (O, G, 1, b): a convolution over all b bands becomes a dense kernel (b G, O)."""
    return w.reshape(*w.shape[:2], -1).transpose(2, 1, 0).reshape(-1, w.shape[0])


def _scalar(w: np.ndarray) -> np.ndarray:
    return w.reshape(())


_TRANSFORM = r"(?:ba|batransform)\."
_BAT = (
    ("conv1", "conv_in"),
    (rf"{_TRANSFORM}conv1", "conv_groups"),
    (rf"{_TRANSFORM}conv2", "conv_mix"),
    ("conv2", "conv_out"),
)
_AXES = (("h", "rows"), ("w", "columns"))

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
        *(Rule(rf"conv_{theirs}", ours, "dense") for theirs, ours in _AXES),
    ),
    "simple_coord": (
        Rule(r"fc1", "reduce"),
        *(Rule(rf"fc_{theirs}", ours) for theirs, ours in _AXES),
    ),
    "ela": (
        *(Rule(rf"conv_{theirs}", f"{ours}/conv", _taps) for theirs, ours in _AXES),
        *(Rule(rf"norm_{theirs}", f"{ours}/norm") for theirs, ours in _AXES),
        Rule(r"conv", "both/conv", _taps),
        Rule(r"gn", "both/norm"),
    ),
    "strip": tuple(Rule(rf"conv_{theirs}", f"conv_{ours}", _taps) for theirs, ours in _AXES),
    "triplet": (Rule(r"(cw|hc|hw)\.conv\.(conv|bn)", r"\1/\2"),),
    "danet_cam": (Leaf(r"gamma", "beta", _scalar),),
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
        Rule(rf"{_TRANSFORM}conv_p", "matrices/rows", _bands),
        Rule(rf"{_TRANSFORM}conv_q", "matrices/columns", _bands),
    ),
}
