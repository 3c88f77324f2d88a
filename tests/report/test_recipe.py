"""Rows of one table share one recipe; what differs on the machine is noted."""

from pathlib import Path
from typing import Any

import pytest
from fake_sweep import ENVIRONMENT, configured, write, write_sweep

from chanattn.config import FIELDS
from chanattn.errors import UsageError
from chanattn.report import environment, recipe
from chanattn.report.comparison import compare, compare_all
from chanattn.report.read import read_sweep

TOP1 = "test/top1"
OVERRIDES = {
    "none": {"model.attention.name": "identity"},
    "se": {"model.attention.name": "se", "model.attention.reduction": 4},
}


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    values = {"none": [0.90, 0.91], "se": [0.92, 0.93]}
    return write_sweep(tmp_path / "sweep", values, overrides=OVERRIDES)


def configure(sweep: Path, **changes: Any) -> None:
    """Gives the run of `se` with seed 1 other fields; `__` stands for a dot."""
    fields = {**OVERRIDES["se"], "seed": 1, **{k.replace("__", "."): v for k, v in changes.items()}}
    write(sweep / "runs" / "variant1" / "seed1" / "config.json", configured(fields))


def test_the_fields_that_are_treated_apart_exist() -> None:
    for named in (*recipe.MACHINE, *recipe.UNRELATED, *recipe.BETWEEN_SWEEPS):
        assert any(recipe.below(path, [named]) for path in FIELDS), named


def test_rows_of_one_recipe_pass(sweep: Path) -> None:
    recipe.check(read_sweep(sweep))


def test_a_run_with_another_field_is_refused_by_name(sweep: Path) -> None:
    configure(sweep, optimizer__learning_rate=0.2)
    with pytest.raises(UsageError) as refused:
        compare(read_sweep(sweep), TOP1)
    message = str(refused.value)
    assert "variant1/seed1 has optimizer.learning_rate = 0.2" in message
    assert "variant0/seed0 has 0.1" in message
    assert "\n" not in message


def test_an_unfinished_run_is_compared_too(tmp_path: Path) -> None:
    values = {"none": [0.9, 0.9], "se": [0.9, None]}
    folder = write_sweep(tmp_path / "s", values, overrides=OVERRIDES)
    configure(folder, batch_size=32)
    with pytest.raises(UsageError, match="batch_size = 32"):
        recipe.check(read_sweep(folder))


def test_a_field_that_only_another_variant_overrides_counts(sweep: Path) -> None:
    # `none` sets no reduction, so all its runs must agree in it.
    fields = {**OVERRIDES["none"], "seed": 1, "model.attention.reduction": 8}
    write(sweep / "runs" / "variant0" / "seed1" / "config.json", configured(fields))
    with pytest.raises(UsageError, match=r"model\.attention\.reduction = 8"):
        recipe.check(read_sweep(sweep))


def test_a_run_must_have_what_its_variant_sets(sweep: Path) -> None:
    configure(sweep, model__attention__reduction=16)
    with pytest.raises(UsageError, match=r"reduction = 16, but its variant sets 4"):
        recipe.check(read_sweep(sweep))


def test_a_run_in_the_place_of_another_seed_is_refused(sweep: Path) -> None:
    configure(sweep, seed=0)
    with pytest.raises(UsageError, match="seed = 0; it lies in the wrong directory"):
        recipe.check(read_sweep(sweep))


@pytest.mark.parametrize("changes", [{"log_every": 1}, {"dataset__data_dir": "/elsewhere"}])
def test_fields_that_change_no_number_pass_in_silence(sweep: Path, changes: dict[str, Any]) -> None:
    configure(sweep, **changes)
    assert compare(read_sweep(sweep), TOP1).notes == ()


def test_a_field_that_one_run_lacks_counts_as_null(sweep: Path) -> None:
    configure(sweep, model__attention__new_option=None)
    recipe.check(read_sweep(sweep))
    configure(sweep, model__attention__new_option=1)
    with pytest.raises(UsageError, match="new_option = 1"):
        recipe.check(read_sweep(sweep))


def test_many_differences_are_counted(sweep: Path) -> None:
    changes = {f"optimizer__field{i}": i + 1 for i in range(7)}
    configure(sweep, **changes)
    with pytest.raises(UsageError, match="and 3 more fields"):
        recipe.check(read_sweep(sweep))


def test_the_shared_recipe_lacks_what_variants_override(sweep: Path) -> None:
    shared = recipe.shared(read_sweep(sweep))
    assert shared["optimizer.learning_rate"] == 0.1
    assert not {"seed", "model.attention.name", "model.attention.reduction"} & shared.keys()


def test_other_hardware_and_kernels_are_noted_not_refused(sweep: Path) -> None:
    run = sweep / "runs" / "variant1" / "seed1"
    flags = {"XLA_FLAGS": "--fast", "CUDA_VISIBLE_DEVICES": "1", "OMP_NUM_THREADS": "1"}
    write(run / "environment.json", ENVIRONMENT | {"devices": ["H100"], "variables": flags})
    configure(sweep, kernels="xla")
    notes = environment.notes(read_sweep(sweep))
    assert notes == [
        "the runs differ in config.kernels: auto (3 runs), xla (runs/variant1/seed1)",
        'the runs differ in devices: ["cpu"] (3 runs), ["H100"] (runs/variant1/seed1)',
        "the runs differ in variables.XLA_FLAGS: none (3 runs), --fast (runs/variant1/seed1)",
    ]


def test_runs_on_other_classes_are_refused(sweep: Path) -> None:
    for run in sorted(sweep.glob("runs/*/seed*"))[1:]:  # the first is of an older version
        write(run / "classes.json", {"names": ["cat", "caf\u00e9"]})
    recipe.check(read_sweep(sweep))
    last = sweep / "runs" / "variant1" / "seed1"
    write(last / "classes.json", {"names": ["cat", "cafe\u0301"]})
    recipe.check(read_sweep(sweep))
    write(last / "classes.json", {"names": ["cat", "dog"]})
    with pytest.raises(
        UsageError, match=r"variant1/seed1 was trained on other classes.*new: 'dog'"
    ):
        recipe.check(read_sweep(sweep))


def test_unknown_environments_and_uncommitted_sources_are_noted(sweep: Path) -> None:
    first, last = (sweep / "runs" / f"variant{i}" / f"seed{i}" for i in (0, 1))
    (first / "environment.json").unlink()
    write(last / "environment.json", ENVIRONMENT | {"git": "0123abc-dirty"})
    notes = "\n".join(environment.notes(read_sweep(sweep)))
    assert "no environment.json of runs/variant0/seed0" in notes
    assert "1 of 4 runs were made from a source tree with changes" in notes


def merge(one: Path, two: Path) -> list[str]:
    return [comparison.label for comparison in compare_all([one, two], TOP1)]


def another(sweep: Path, **kwargs: Any) -> Path:
    values = {"none": [0.5, 0.51], "se": [0.52, 0.53]}
    return write_sweep(
        sweep.parent / "other", kwargs.pop("values", values), **{"overrides": OVERRIDES, **kwargs}
    )


def test_sweeps_of_other_data_and_networks_merge(sweep: Path) -> None:
    fields = {"dataset.name": "cifar100", "dataset.mean": [0.1] * 3, "model.name": "resnet56"}
    assert merge(sweep, another(sweep, recipe=fields)) == [
        "digits · resnet8",
        "cifar100 · resnet56",
    ]


def test_labels_that_would_be_alike_have_the_name_of_the_folder(sweep: Path) -> None:
    assert merge(sweep, another(sweep)) == ["digits · resnet8 · sweep", "digits · resnet8 · other"]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"recipe": {"epochs": 48.0}}, "epochs = 48.0 against 24.0"),
        ({"baseline": "se"}, "baselines are 'se' and 'none'"),
        (
            {"overrides": OVERRIDES | {"se": {"model.attention.name": "eca"}}},
            "variant 'se' overrides other fields",
        ),
    ],
)
def test_sweeps_of_another_recipe_do_not_merge(
    sweep: Path, kwargs: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        merge(sweep, another(sweep, **kwargs))
    assert str(sweep) in str(refused.value)


def test_one_sweep_twice_is_refused(sweep: Path) -> None:
    with pytest.raises(UsageError, match="given twice"):
        merge(sweep, sweep.parent / "." / sweep.name)
