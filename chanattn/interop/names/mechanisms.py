"""All tables of mechanisms. timm's names come first; where the official code differs, its names follow."""

from chanattn.errors import UsageError
from chanattn.interop.names import (
    branches,
    context,
    spatial,
    squeeze_excitation,
    stateful,
    statistics,
)
from chanattn.interop.names.rules import Table

_WITHOUT_PARAMETERS: dict[str, Table] = {"identity": (), "simam": ()}
_WITH_LAYERS_OF_SE: dict[str, Table] = {
    "top_k": squeeze_excitation.SE,
    "argmax": squeeze_excitation.SE,
}

MECHANISMS: dict[str, Table] = {
    **_WITHOUT_PARAMETERS,
    **_WITH_LAYERS_OF_SE,
    **squeeze_excitation.TABLES,
    **statistics.TABLES,
    **spatial.TABLES,
    **context.TABLES,
    **branches.TABLES,
    **stateful.TABLES,
}


def mechanism_table(name: str) -> Table:
    """The table of a mechanism.

    Raises:
        UsageError: No PyTorch code of it is known.
    """
    if name not in MECHANISMS:
        raise UsageError(
            f"no PyTorch names are known for attention {name!r}; known: {', '.join(MECHANISMS)}"
        )
    return MECHANISMS[name]
