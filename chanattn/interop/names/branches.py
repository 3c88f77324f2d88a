"""Mechanisms of the conv slot: selection among branches."""

from chanattn.interop.names.rules import Rule, Table

TABLES: dict[str, Table] = {
    "sk": (
        Rule(r"paths\.0\.(conv|bn)", r"\g<1>1"),
        Rule(r"paths\.1\.(conv|bn)", r"\g<1>2"),
        Rule(r"paths\.2\.(conv|bn)", r"\g<1>3"),
        Rule(r"attn\.fc_reduce", "attention/reduce", "dense"),
        Rule(r"attn\.bn", "attention/bn"),
        Rule(r"attn\.fc_select", "attention/select", "dense"),
    ),
    "splat": (
        Rule(r"conv", "conv"),
        Rule(r"bn0", "bn"),
        Rule(r"fc1", "attention/reduce", "grouped"),
        Rule(r"bn1", "attention/bn"),
        Rule(r"fc2", "attention/expand", "grouped"),
    ),
    "epsa": (
        Rule(r"conv_(\d)", r"conv\1"),
        Rule(r"se\.fc1", "attention/reduce", "dense"),
        Rule(r"se\.fc2", "attention/expand", "dense"),
    ),
}
