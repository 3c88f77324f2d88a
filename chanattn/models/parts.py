"""Which part of a network a parameter belongs to, and how deep it lies: told by its outermost module."""

import re
from collections.abc import Iterable

from chanattn.models import heads

STEM, FINAL, HEAD = "stem", "final", "head"
_STAGE = re.compile(r"stage(\d+)_(?:block(\d+))?")


def part(module: str) -> str:
    """The part that an outermost module of a network belongs to.

    Returns:
        "stem"; "stage1", "stage2", ..., with the attention between and around their blocks; "final": what
        follows the last stage, and whatever else the backbone has; or "head".
    """
    if module in heads.names():
        return HEAD
    if found := _STAGE.match(module):
        return f"stage{found[1]}"
    return STEM if module.startswith(STEM) else FINAL


def order(name: str) -> tuple[int, int]:
    """A key to sort the parts by, from the picture to the outputs."""
    if name.startswith("stage"):
        return 1, int(name.removeprefix("stage"))
    return {STEM: 0, FINAL: 2, HEAD: 3}[name], 0


def is_attention(path: Iterable[str]) -> bool:
    """Whether a path of modules leads into an attention module, whose names contain "attention"."""
    return any("attention" in name for name in path)


def layers(modules: Iterable[str]) -> dict[str, int]:
    """Depth of every outermost module, as `timm.optim.param_groups_layer_decay` numbers the layers.

    The stem is layer 0, the blocks are 1, 2, ... in their order, the head comes last. What belongs to a stage
    but to no block, and what follows the last stage, lies in the layer of the block before it.
    """
    modules = list(modules)
    found = {module: _STAGE.match(module) for module in modules}
    places = {m: (int(match[1]), int(match[2])) for m, match in found.items() if match and match[2]}
    blocks = sorted(places.values())

    def depth(module: str) -> int:
        where = part(module)
        if where == HEAD:
            return number_of_layers(modules)
        if where == STEM:
            return 0
        if module in places:
            return blocks.index(places[module]) + 1
        if match := found[module]:
            return sum(stage <= int(match[1]) for stage, _ in blocks)
        return len(blocks)

    return {module: depth(module) for module in modules}


def number_of_layers(modules: Iterable[str]) -> int:
    """L, the number of the last layer, which is that of a head."""
    return 1 + sum(bool(match and match[2]) for match in map(_STAGE.match, modules))
