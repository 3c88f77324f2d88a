"""Published figures have no typing mistakes: each is read again from the reference tables, where they are."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from configs.ablations import catalogue, simam, timm_family

REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference" / "published_tables.md"
pytestmark = pytest.mark.skipif(not REFERENCE.is_file(), reason="the reference tables are absent")
NUMBER = r"(\d+\.\d+)"


def text() -> str:
    return REFERENCE.read_text().replace("**", "")


def numbers(pattern: str) -> list[float]:
    """The numbers for which `#` stands in the one place of the reference that the pattern matches."""
    (match,) = re.finditer(re.escape(pattern).replace(r"\#", NUMBER), text())
    return [float(group) for group in match.groups()]


def rows(header: str, section: str = "## B") -> Iterator[tuple[str, list[str]]]:
    """(label, cells to its right) of the table with that cell in its header, among tables side by side."""
    table = text()[text().index(section) :]
    (lines,) = (
        block.splitlines() for block in re.split(r"\n\n", table) if f"| {header} |" in block
    )
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    start = next(i for i, row in enumerate(cells) if header in row)
    column = cells[start].index(header)
    for row in cells[start + 2 :]:
        if len(row) > column and row[column]:
            yield row[column], row[column + 1 :]


def column(header: str, *labels: str, index: int = 0) -> list[float]:
    """The number `index` cells to the right of each label."""
    found: dict[str, str] = {}
    for label, cells in rows(header):
        if label in labels and label not in found:
            found[label] = cells[index]
    return [float(found[label]) for label in labels]


def published(name: str, scale: str = "imagenet", which: int = 0) -> list[float]:
    """The values of a sweep, in the order of its file."""
    values = catalogue.load(name).sweep(scale).published[which].values.values()
    return [v for value in values for v in (value if isinstance(value, tuple) else (value,))]


NO_SE = numbers("| no SE | #")[:1] if REFERENCE.is_file() else []


def test_se_reduction() -> None:
    labels = ("no SE", "2", "4", "8", "16", "32")
    assert published("se_reduction") == column("reduction r (T10)", *labels)


def test_se_squeeze_and_gate() -> None:
    squeezes = column("squeeze (T11)", "max", "avg")
    no_squeeze = numbers("T16): #/6.39")
    assert published("se_squeeze") == NO_SE + squeezes + no_squeeze
    gates = column("excitation gate (T12)", "ReLU", "tanh", "sigmoid")
    assert published("se_gate") == NO_SE + gates


def test_se_stage_and_placement() -> None:
    stages = ("none", "SE stage 2", "SE stage 3", "SE stage 4", "SE all")
    assert published("se_stage") == column("stage (T13)", *stages)
    places = ("SE (standard)", "SE-PRE", "SE-POST", "SE-Identity", "SE 3x3 (3.86G, 25.8M)")
    assert published("se_placement") == NO_SE + column("placement (T14/15)", *places)


def pairs(first: Sequence[float], second: Sequence[float]) -> list[float]:
    return [value for pair in zip(first, second, strict=True) for value in pair]


def test_se_networks() -> None:
    cifar = ("ResNet-110", "ResNet-164", "WRN-16-8")
    for scale, start in (("cifar10", 0), ("cifar100", 2)):
        plain, se = (column("network", *cifar, index=start + i) for i in (0, 1))
        assert published("se_networks", scale) == pairs(plain, se)
    large = ("ResNet-50", "ResNet-101", "ResNet-152", "ResNeXt-50 32x4d", "ResNeXt-101 32x4d")
    plain, se = (column("backbone", *large, index=i) for i in (0, 3))
    assert published("se_networks") == pairs(plain, se)


def test_eca_excitation() -> None:
    labels = (
        *("vanilla", "SE", "SE-Var1", "SE-Var2", "SE-Var3"),
        *("SE-GC1", "SE-GC2", "SE-GC3", "ECA-NS", "ECA"),
    )
    assert published("eca_excitation") == column("method", *labels, index=2)


def test_cbam() -> None:
    none, *pools = column(
        "channel attention (T1)",
        *("ResNet-50", "AvgPool (=SE)", "MaxPool", "Avg & Max (shared MLP, summed)"),
        index=2,
    )
    assert published("cbam_channel") == [none, *pools]
    spatial = (
        *("SE only", "channel(avg&max) only", "+ 1x1 conv, k=3", "+ 1x1 conv, k=7"),
        *("+ avg&max, k=3", "+ avg&max, k=7"),
    )
    assert published("cbam_spatial") == [none, *column("spatial after channel (T2)", *spatial)]
    orders = ("SE", "channel -> spatial", "spatial -> channel", "parallel (sum, sigmoid)")
    assert published("cbam_arrangement") == [none, *column("arrangement (T3)", *orders)]


def test_sk() -> None:
    assert published("sk_branches") == numbers(
        "K3 #; K5 #; K7 #; K3+K5 sum # / SK #; K3+K7 # / #; K5+K7 # / #; K3+K5+K7 # / #"
    )
    table = [float(cells[2]) for _, cells in rows("second branch (T6)")]
    assert published("sk_second_branch") == numbers("ResNeXt-50 #/21.05") + table


def test_resnest() -> None:
    sweep = catalogue.load("resnest_radix").sweep("imagenet")
    table = dict(rows("variant (radix s, card. x, width d)"))
    for values, index in zip((p.values for p in sweep.published), (3, 4, 5), strict=True):
        assert values == {
            name: float(cells[index]) for name, cells in table.items() if cells[index] != "-"
        }


def test_fca() -> None:
    r34 = numbers("R34: base #/92.05, SE #/92.23, ECA 74.65/92.21, LF #, TS #")
    r50 = numbers("R50: base #/93.52, SE #/93.87")
    r50 += numbers("LF #/94.15") + numbers("TS #/94.10")
    r101 = numbers("R101: #, SE #, ECA 79.09, LF #, TS #")
    r152 = numbers("R152: #, SE #, ECA 79.86, LF #, TS #")
    for depth, values in ((34, r34), (50, r50), (101, r101), (152, r152)):
        assert published("fca_components", f"imagenet-resnet{depth}") == values
    best, worst = numbers("(0,0) #, others 76.19-76.55, worst (6,6) #")
    assert published("fca_components", which=1) == [best, worst]
    learned_random, learned, random, fixed = numbers(
        "learned/random init #; learned/DCT init #; fixed/random #; fixed DCT #"
    )
    assert published("fca_basis") == [r50[0], fixed, learned, random, learned_random]


def test_gct() -> None:
    none = numbers("R50 #/7.0 -> SE")
    linf, l1, l2 = numbers("embedding l_inf #, l1 #, l2 #")
    mean_var, norm_l1, norm_l2 = numbers("channel norm: mean/var #, l1 #, l2 #")
    sigmoid, elu, tanh = numbers("gate sigmoid #, 1+ELU #, 1+tanh #")
    after, before, conv = numbers("position after BN #, before BN #, before conv #")
    assert l2 == norm_l2 == tanh == conv
    expected = [*none, l2, linf, l1, mean_var, norm_l1, sigmoid, elu, after, before]
    assert published("gct") == expected


def test_sge() -> None:
    none = numbers("R50 #/92.908")
    starts = numbers("(0,0) #; (0,1) #; (1,0) #; (1,1) #")
    assert published("sge_init") == none + starts + numbers("Without normalisation #")


def test_epsa() -> None:
    assert published("epsa_groups") == numbers("(4,8,16,16) #; (16,16,16,16) #; (1,4,8,16) #")


COLUMNS = {
    "resnet20": "R20",
    "resnet56": "R56",
    "resnet110": "R110",
    "preact_resnet20": "PreR20",
    "preact_resnet56": "PreR56",
    "preact_resnet110": "PreR110",
}


@pytest.mark.parametrize("scale", ["cifar10", "cifar100"])
@pytest.mark.parametrize("network", simam.CIFAR10)
def test_simam_on_cifar(network: str, scale: str) -> None:
    header = f"{COLUMNS[network]} C{scale.removeprefix('cifar')}"
    line = next(row for row in text().splitlines() if f"| {header} |" in row)
    index = [cell.strip() for cell in line.strip("|").split("|")].index(header)
    after = text().partition(line)[2].splitlines()[2:8]
    cells = [row.strip("|").split("|")[index].strip() for row in after]
    labels = [row.strip("|").split("|")[0].strip() for row in after]
    assert labels == ["base", "SE", "CBAM", "ECA", "GC", "SimAM"]
    expected = [float(value) for cell in cells for value in cell.split("±")]
    assert published("simam", f"{scale}-{network}") == expected


def test_simam_on_imagenet() -> None:
    r18 = numbers(
        "R18 # (215 FPS) / SE # (144) / CBAM # (78) / ECA # (148) / SRM # (115) / SimAM #"
    )
    assert published("simam", "imagenet-resnet18") == r18
    for network, label in (
        ("resnet34", "R34"),
        ("resnet50", "R50"),
        ("resnet101", "R101"),
        ("resnext50_32x4d", "RX50"),
        ("mobilenetv2_100", "MBV2"),
    ):
        expected = numbers(f"{label} # / # / # / # / # / #")
        assert published("simam", f"imagenet-{network}") == expected


def timm_row(network: str, variant: str, tag: str) -> list[str]:
    prefix = {"se": "se", "eca": "eca", "gc": "gc", "bat": "bat"}[variant]
    joined = {f"{prefix}{network}", f"{prefix}_{network}", f"{prefix}{network.partition('_')[0]}"}
    for label, cells in rows("pair (tag)", "## C"):
        base, _, right = label.partition(" -> ")
        attended, _, mark = right.partition(" (")
        if base.split(" ")[0] == network and attended in joined and tag in mark:
            return cells
    raise AssertionError(f"no row for {network} {variant} {tag}")


@pytest.mark.parametrize("network", timm_family.FIGURES)
def test_timms_pairs(network: str) -> None:
    for tag, side, values in timm_family.FIGURES[network]:
        for variant in values.keys() - {"none"}:
            sides, base, attended, *_ = timm_row(network, variant, tag)
            at = sides.split(" / ").index(str(side))
            assert values[variant] == float(attended.split(" / ")[at])
            if "none" in values:
                assert values["none"] == float(base.split(" / ")[at])


def test_every_sweep_with_figures_is_read_again() -> None:
    tested = {
        *("se_reduction", "se_squeeze", "se_gate", "se_stage", "se_placement", "se_networks"),
        *("eca_excitation", "cbam_channel", "cbam_spatial", "cbam_arrangement"),
        *("sk_branches", "sk_second_branch", "resnest_radix", "fca_components", "fca_basis"),
        *("gct", "sge_init", "epsa_groups", "simam", "timm_family"),
    }
    with_figures = {
        name for name in catalogue.NAMES if catalogue.load(name).sweep("imagenet").published
    }
    assert with_figures == tested
