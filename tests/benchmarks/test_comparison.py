"""What is written of a measurement."""

from benchmarks import rows
from benchmarks.comparison import Entry, entry, with_overheads
from benchmarks.pairing import Timing


class Fake:
    """A side with so many parameters."""

    variant = "fake"

    def __init__(self, parameters: int) -> None:
        self.parameters = parameters

    def run(self, steps: int) -> float:
        raise AssertionError("it is not to run")


def written(name: str, ours: float, peer: float, *, parameters: tuple[int, int]) -> Entry:
    (row,) = rows.make([name], batch_size=0, on_accelerator=False, precision="float32")
    timing = Timing(((ours,), (peer,)), (2, 2))
    sides = [Fake(number) for number in parameters]
    return entry(row, "train", sides, timing, peer="timm", settings={})


def test_equal_networks_have_a_ratio() -> None:
    result = written("resnet20", 300.0, 200.0, parameters=(7, 7))
    assert (result["ratio"], result["notes"]) == (1.5, [])


def test_different_networks_have_none() -> None:
    result = written("resnet20", 300.0, 200.0, parameters=(7, 8))
    assert result["ratio"] is result["ratio_lowest"] is None
    assert result["notes"] == ["no ratio: 7 parameters against the peer's 8"]


def test_a_busy_machine_is_noted() -> None:
    (row,) = rows.make(["resnet20"], batch_size=0, on_accelerator=False, precision="float32")
    settings = {"others_share": 0.4}
    result = entry(row, "train", [Fake(1)], Timing(((1.0,),), (2,)), peer=None, settings=settings)
    assert result["notes"] == ["other processes took 40% of the cores meanwhile"]


def test_overhead_is_relative_to_the_plain_backbone_of_the_same_side() -> None:
    same = {"parameters": (7, 7)}
    completed = with_overheads(
        [
            written("resnet20_se", 240.0, 150.0, **same),
            written("resnet20", 300.0, 200.0, **same),
            written("resnet50_se", 3.0, 2.0, **same),
            written("se@32x14x14x1024", 3.0, 2.0, **same),
        ]
    )
    overheads = [(e["ours_overhead"], e["peer_overhead"]) for e in completed]
    assert overheads == [(0.2, 0.25), (None, None), (None, None), (None, None)]
