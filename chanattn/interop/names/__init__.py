"""How PyTorch code calls what we call otherwise: one table a mechanism, one for blocks, one for networks."""

from chanattn.interop.names.mechanisms import MECHANISMS, mechanism_table
from chanattn.interop.names.mobile import mobile_table
from chanattn.interop.names.networks import block_table, network_table, osa_block_table
from chanattn.interop.names.rules import Leaf, Match, Part, Rule, Skip, Table, find
from chanattn.interop.names.spelling import spell

__all__ = [
    "MECHANISMS",
    "Leaf",
    "Match",
    "Part",
    "Rule",
    "Skip",
    "Table",
    "block_table",
    "find",
    "mechanism_table",
    "mobile_table",
    "network_table",
    "osa_block_table",
    "spell",
]
