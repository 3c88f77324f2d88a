"""Gather-excite, global context, frequencies, codewords, covariances."""

from chanattn.interop.names.layouts import SAME, Axes
from chanattn.interop.names.rules import Leaf, Rule, Skip, Table

# (4 d, 1, d, 1): four outputs for each row of a (d, d) matrix <-> one block (d, 4) a row.
_ROWS = Axes(
    lambda w: w.reshape(w.shape[2], -1, w.shape[2]).transpose(0, 2, 1),
    lambda w: w.transpose(0, 2, 1).reshape(-1, 1, w.shape[1], 1),
)


TABLES: dict[str, Table] = {
    "ge": (
        Rule(r"gather\.(conv|norm)(\d)", r"gather/\1\2"),
        Rule(r"conv\.0", "gather/conv1"),
        Rule(r"conv\.1", "gather/norm1"),
        Rule(r"mlp\.fc1", "mix/reduce", "dense"),
        Rule(r"mlp\.fc2", "mix/expand", "dense"),
    ),
    "gc": (
        Rule(r"conv_(attn|mask)", "mask"),
        Rule(r"mlp_scale\.norm|channel_mul_conv\.1", "mul/norm", "norm"),
        Rule(r"mlp_scale\.fc1|channel_mul_conv\.0", "mul/reduce", "dense"),
        Rule(r"mlp_scale\.fc2|channel_mul_conv\.3", "mul/expand", "dense"),
        Rule(r"mlp_add\.norm|channel_add_conv\.1", "add/norm", "norm"),
        Rule(r"mlp_add\.fc1|channel_add_conv\.0", "add/reduce", "dense"),
        Rule(r"mlp_add\.fc2|channel_add_conv\.3", "add/expand", "dense"),
    ),
    "fca": (
        Skip(r"dct_layer\.weight"),
        Rule(r"fc\.0", "mix/reduce"),
        Rule(r"fc\.2", "mix/expand"),
    ),
    "encnet": (
        Rule(r"encoding\.0", "conv"),
        Rule(r"encoding\.1", "bn"),
        Leaf(r"(?:encoding\.3\.)?(codewords|scale)", r"encoding/\1", SAME),
        Rule(r"encoding\.4", "codes_bn"),
        Rule(r"fc\.0", "expand"),
        Rule(r"selayer", "presence"),
    ),
    "gsop": (
        Rule(r"conv_for_DR", "reduce"),
        Rule(r"bn_for_DR", "bn"),
        Rule(r"row_bn", "row_bn"),
        Rule(r"row_conv_group", "rows", _ROWS),
        Rule(r"fc_adapt_channels", "expand", "dense"),
    ),
}
