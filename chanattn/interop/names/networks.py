"""Names inside blocks and whole networks."""

from collections.abc import Iterator

from chanattn.attention import describe
from chanattn.interop.names import convnext, mobile, nfnet, regnet
from chanattn.interop.names.mechanisms import mechanism_table
from chanattn.interop.names.rules import Part, Rule, Skip, Table
from chanattn.models import ConvNeXt, InvertedResidualNet, Network, NFNet, ResNet, VoVNet

_CLASSIFIER = r"fc|linear|last_linear|head\.fc|classifier"
_FINAL: Table = (
    Rule(r"final_conv\.(conv|bn)", r"final_\1"),
    Rule(r"conv_head", "final_conv"),
)


def block_table(gate: str, conv: str, average_shortcut: bool = False) -> Table:
    """The table of a residual block of timm's resnet.py, resnest.py, sknet.py, senet.py or byobnet.py.

    Args:
        gate: Mechanism of the gate slot; its names may also stand beside the convolutions (GSoP's code).
        conv: Mechanism of the conv slot, or "identity".
        average_shortcut: The shortcut has a pool in front, which takes the first number.
    """
    first = 1 if average_shortcut else 0
    attention = mechanism_table(gate)
    apart: Table = (Rule(r"conv(\d)(\.0)??", r"conv\1"), Rule(r"bn(\d)", r"bn\1"))
    joined = Rule(r"conv(\d)(?:_1x1|_kxk)??\.(conv|bn)", r"\2\1")
    return (
        Part(r"(se|se_module|attn|attn_last)\.", "attention/", attention),
        Part(r"conv(\d)\.", r"conv\1/", mechanism_table(conv)),
        *((joined, *apart) if conv == "sk" else (*apart, joined)),
        Rule(rf"downsample\.{first}", "shortcut/conv"),
        Rule(rf"downsample\.{first + 1}", "shortcut/bn"),
        Rule(r"shortcut\.(conv|bn)", r"shortcut/\1"),
        Rule(rf"shortcut\.{first}", "shortcut/conv"),
        Rule(rf"shortcut\.{first + 1}", "shortcut/bn"),
        Part("", "attention/", attention),
    )


def osa_block_table(gate: str, layers: int, depthwise: bool = False) -> Table:
    """The table of a block of timm's `vovnet.py` with that many 3x3 convolutions, depthwise or not."""
    middle = range(layers)
    return (
        Part(r"attn\.", "attention/", mechanism_table(gate)),
        *_separable("conv_reduction", 0),
        *_separable("conv_concat", layers + 1),
        *(rule for i in middle for rule in _separable(rf"conv_mid\.{i}", i + 1, depthwise)),
    )


def network_table(model: Network) -> Table:
    """The table of a network of timm, of a plain CIFAR ResNet, or of DIANet's.

    Raises:
        UsageError: The names of its attention are not known.
    """
    if isinstance(model, ResNet):
        return (*_resnet_stem(model), *_end(model), *_stages(model))
    if isinstance(model, ConvNeXt):
        return (*convnext.ends_table(model), *_end(model), *_stages(model))
    if isinstance(model, NFNet):
        return (*nfnet.ends_table(model), *_end(model), *_stages(model))
    if isinstance(model, VoVNet):
        stem = tuple(
            rule
            for index in range(3)
            for rule in _separable(rf"stem\.{index}", index + 1, model.depthwise and index > 0)
        )
        return (*(Part("", "stem/", (rule,)) for rule in stem), *_end(model), *_stages(model))
    assert isinstance(model, InvertedResidualNet)
    return (*mobile.ends_table(model), *_end(model), *_stages(model))


def _end(model: Network) -> Table:
    """What stands behind the stages; under another head than a classifier, one in the state is left out."""
    if model.head == "classifier":
        return (Rule(_CLASSIFIER, "classifier"), *_FINAL)
    return (Skip(rf"({_CLASSIFIER})\.(weight|bias)"), *_FINAL)


def _separable(name: str, number: int, depthwise: bool = False) -> Table:
    """Convolution `number` with its norm, be it in one step or in two."""
    spellings = "conv_pw|conv" if depthwise else "conv|conv_pw"
    return (
        Rule(rf"{name}\.(?:{spellings})", f"conv{number}"),
        Rule(rf"{name}\.conv_dw", f"depthwise{number}"),
        Rule(rf"{name}\.bn", f"bn{number}"),
    )


def _resnet_stem(model: ResNet) -> Table:
    if model.stem.startswith("conv3"):
        return regnet.stem_table(model)
    last = 3 if model.stem in ("deep", "tiered") else 1
    return (
        Rule(r"conv1\.0|conv1" if last == 3 else r"conv1|conv1\.0", "stem/conv1"),
        Rule(r"bn1", f"stem/bn{last}"),
        Rule(r"conv1\.1", "stem/bn1"),
        Rule(r"conv1\.3", "stem/conv2"),
        Rule(r"conv1\.4", "stem/bn2"),
        Rule(r"conv1\.6", "stem/conv3"),
        Rule(r"layer0\.(conv|bn)(\d)", r"stem/\1\2"),
        Rule(r"stem\.conv(\d)\.(conv|bn)", r"stem/\2\1"),
        Rule(r"maxpool\.0", "stem_pool/conv"),
        Rule(r"maxpool\.1", "stem_pool/bn"),
    )


def _stages(model: Network) -> Table:
    """All blocks, and the attention that the blocks of a stage share."""
    gate = model.slots.gate.name
    mobiles = isinstance(model, InvertedResidualNet)
    blocks = mobile.blocks(model) if mobiles else _numbered_blocks(model)
    shared = range(1, len(model.depths) + 1) if describe(gate).shared else ()
    return (
        *(Part(prefix, f"{ours}/", table) for prefix, ours, table in blocks),
        *(Part(rf"layer{i}\.", f"stage{i}_attention/", mechanism_table(gate)) for i in shared),
    )


def _numbered_blocks(model: Network) -> Iterator[tuple[str, str, Table]]:
    """PyTorch's prefix, our name and the table of every block, where both count by stages."""
    gate = model.slots.gate.name
    if isinstance(model, ConvNeXt):
        table = convnext.block_table(model)
    elif isinstance(model, NFNet):
        table = nfnet.block_table(model)
    elif isinstance(model, VoVNet):
        table = osa_block_table(gate, model.block_layers, model.depthwise)
    elif regnet.is_regnet(model):
        table = regnet.block_table(model)
    else:
        table = block_table(gate, model.slots.conv.name, model.shortcut == "avg_pool")
    for stage, depth in enumerate(model.depths, 1):
        for index in range(depth):
            if regnet.is_regnet(model):
                prefix = rf"s{stage}\.b{index + 1}\."
            else:
                prefix = (
                    rf"(?:layer{stage}|stages\.{stage - 1})\.(?:ModuleList\.|blocks\.)??{index}\."
                )
            yield prefix, f"stage{stage}_block{index + 1}", table
