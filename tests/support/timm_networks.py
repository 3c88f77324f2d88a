"""How to count the parameters of deep networks."""

from chanattn.models import Network, ResNet


def shallow(model: Network, deep: int) -> tuple[Network, dict[str, int]]:
    """A network of more than `deep` blocks with two a stage, because all but the first of a ResNet are equal.

    Returns:
        The network, and how often each of its modules stands for one more that has been left out.
    """
    depths = model.depths
    if sum(depths) <= deep or not isinstance(model, ResNet):
        return model, {}
    short = model.clone(layers=tuple(min(depth, 2) for depth in depths))
    left_out = {
        f"stage{stage}_block2": depth - made
        for stage, (depth, made) in enumerate(zip(depths, short.depths, strict=True), 1)
    }
    return short, left_out
