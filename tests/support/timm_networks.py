"""How to count the parameters of deep networks."""

from chanattn.models import ConvNeXt, InvertedResidualNet, Network, NFNet, ResNet

EQUAL = (ResNet, InvertedResidualNet, ConvNeXt, NFNet)
"""Whose blocks of a stage, or row, are equal but for the first."""


def shallow(model: Network, deep: int) -> tuple[Network, dict[str, int]]:
    """A network of more than `deep` blocks with two a stage, because all but the first of a ResNet are equal.

    One of inverted residuals has two a row, for the same reason.

    Returns:
        The network, and how often each of its modules stands for one more that has been left out.
    """
    depths = model.depths
    if sum(depths) <= deep or not isinstance(model, EQUAL):
        return model, {}
    if isinstance(model, InvertedResidualNet):
        return _two_a_row(model)
    short = model.clone(layers=tuple(min(depth, 2) for depth in depths))
    left_out = {
        f"stage{stage}_block2": depth - made
        for stage, (depth, made) in enumerate(zip(depths, short.depths, strict=True), 1)
    }
    return short, left_out


def _two_a_row(model: InvertedResidualNet) -> tuple[Network, dict[str, int]]:
    short = model.clone(
        groups=tuple(
            tuple(row._replace(blocks=min(row.blocks, 2)) for row in rows) for rows in model.groups
        )
    )
    left_out, places = {}, short.places()
    for row in (row for rows in model.groups for row in rows):
        for _ in range(min(row.blocks, 2)):
            last = next(places)
        left_out[f"stage{last.stage}_block{last.number}"] = max(row.blocks - 2, 0)
    return short, left_out
