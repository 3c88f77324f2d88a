"""The table in its formats: what is written can be read back, whatever the variants are called."""

import csv
import io
import json
import re
from pathlib import Path

import pytest
from fake_sweep import write_sweep
from markdown_it import MarkdownIt
from scipy import stats

from chanattn.errors import UsageError
from chanattn.labels import labels
from chanattn.report import latex, markdown, table
from chanattn.report.comparison import Comparison, compare_all
from chanattn.report.record import as_csv, as_json
from chanattn.report.sweep_report import write_files, write_report

TOP1 = "test/top1"
PLAIN = {"none": [0.90, 0.91, 0.92], "se": [0.92, 0.94, 0.93], "eca": [0.93, 0.91, None]}
FIGURES = [
    {
        "source": "A paper, table 10",
        "setting": "ResNet-50",
        "metric": "top-1 error, %",
        "higher_is_better": False,
        "note": "",
        "values": {"none": 23.3, "se": 22.28},
    },
    {
        "source": "Another & paper",
        "setting": "ResNet-20",
        "metric": "accuracy",
        "higher_is_better": True,
        "note": "five runs",
        "values": {"eca": [92.33, 0.19]},
    },
]
COST = {
    "none": {"parameters": 75_290, "macs": 1e6, "infer_latency_ms": {"median": 2.0}},
    "se": {
        "parameters": 76_081,
        "macs": 1.25e9,
        "infer_latency_ms": {"median": 3.0, "low": 2.5, "high": 4.0},
        "train_images_per_s": {"median": 2802.4},
        "peak_memory_bytes": 3 * 2**30,
    },
}
HOSTILE = [
    "<script>alert(1)</script>",
    "a | b || c",
    "new\nline\r\n\ttab",
    "\\ ` * _x_ __y__ ~z~ [l](u) ![i](u) &amp; $m$",
    "% # { } ^ \" '",
    "[+1]",
    "emoji 😀 👩‍👩‍👧",
    "é λ 漢",
    "n" * 300,
    "n" * 301,
    "\u202eright to left",
    " ",
    "\ud800",
]


def compared(folder: Path, values: dict[str, list[float | None]] = PLAIN) -> Comparison:
    write_sweep(folder, values, published=FIGURES, cost=COST)
    return compare_all([folder], TOP1)[0]


@pytest.fixture
def hostile(tmp_path: Path) -> Comparison:
    return compared(tmp_path / "s", {name: [0.9, 0.91] for name in HOSTILE})


def markdown_rows(text: str) -> list[list[str]]:
    """The cells of the first table as a Markdown parser shows them."""
    parser = MarkdownIt("commonmark").enable("table")
    rows: list[list[str]] = []
    for token in parser.parse(text):
        if token.type == "tr_open":
            rows.append([])
        if token.type == "inline" and rows:
            assert all(child.type == "text" for child in token.children or [])
            rows[-1].append("".join(child.content for child in token.children or []))
        if token.type == "table_close":
            break
    return rows


LATEX_BACK = {
    r"\textbackslash{}": "\\",
    r"\textasciitilde{}": "~",
    r"\textasciicircum{}": "^",
    r"\textless{}": "<",
    r"\textgreater{}": ">",
    r"\textbar{}": "|",
    r"\textquotedbl{}": '"',
    r"\textasciigrave{}": "`",
    r"\dots{}": "…",
    r"$\pm$": "±",
    r"$\cdot$": "·",
    "$-$": "−",
    "--": "–",
    **{"\\" + char: char for char in "&%$#_{}"},
}


def latex_rows(text: str) -> list[list[str]]:
    """The cells between the rules, as they are printed."""
    body = text.split("\\toprule\n")[1].split("\\bottomrule", maxsplit=1)[0]
    pattern = re.compile("|".join(re.escape(each) for each in LATEX_BACK) + r"|[{}\\$]")

    def cell(text: str) -> str:
        shown = pattern.sub(
            lambda found: LATEX_BACK.get(found[0], "" if found[0] in "{}" else "!"), text
        )
        return re.sub(r"\[U\+([0-9A-F]+)\]", lambda code: chr(int(code[1], 16)), shown)

    lines = [line.removesuffix(r" \\") for line in body.splitlines() if line.endswith(r" \\")]
    return [[cell(part) for part in re.split(r" & ", line)] for line in lines]


def shown(found: table.Table) -> list[list[str]]:
    headings = [column.heading for column in found.columns]
    return [headings, *([cell.text for cell in row] for row in found.rows)]


def test_the_table_holds_what_was_asked_for(tmp_path: Path) -> None:
    headings, none, se, eca = shown(table.single(compared(tmp_path / "s")))
    assert headings == [
        *("variant", "n", "test top-1 accuracy (%)", "median", "best"),
        *("difference, points [95 %]", "bootstrap 95 %", "p (Holm)", "parameters", "MACs"),
        *("training images/s", "latency ms", "peak memory"),
        *("published top-1 error, % [1]", "published accuracy [2]"),
    ]
    assert none[:8] == ["none", "3", "91.00 ± 1.00", "91.00", "92.00", "baseline", "–", "–"]
    # Differences of 2, 3 and 1 points: see the statistics. Two tests, so the smaller p counts twice.
    assert se[5] == "+2.00 [−0.48, +4.48]"
    assert se[7] == "0.148"
    assert se[8:] == ["76,081", "1.25 G", "2,802", "3", "3.00 GiB", "22.28", "–"]
    assert none[8:] == ["75,290", "1.00 M", "1,000", "2", "–", "23.30", "–"]
    assert eca[-1] == "92.33 ± 0.19"


def test_incomplete_cells_are_marked_and_explained(tmp_path: Path) -> None:
    found = table.single(compared(tmp_path / "s"))
    eca = found.rows[2]
    assert eca[1].text == "2/3"
    assert eca[2].text == "92.00 ± 1.41"  # of the two that are finished
    assert eca[5].text.endswith("(2/3)")
    assert all(cell.incomplete for cell in eca[1:8])
    assert not any(cell.incomplete for row in found.rows[:2] for cell in row)
    assert "eca: 2/3 seeds; seed 2 incomplete, at step 100" in found.footnotes
    assert any(note.startswith("k/n:") for note in found.footnotes)


def test_one_seed_shows_no_deviation_and_no_nan_anywhere(tmp_path: Path) -> None:
    comparison = compared(tmp_path / "s", {"none": [0.9], "se": [0.95], "eca": [None]})
    page = write_files([comparison], tmp_path / "out")
    _, none, se, eca = shown(table.single(comparison))
    assert none[1:8] == ["1", "90.00", "90.00", "90.00", "baseline", "–", "–"]
    assert se[5:8] == ["+5.00", "–", "–"]
    assert eca[1:8] == ["0/1", "–", "–", "–", "–", "–", "–"]
    for file in page.parent.iterdir():
        if file.suffix != ".png":
            assert not re.search(r"\b(nan|NaN|inf|Infinity)\b", file.read_text()), file


def test_without_cost_and_published_figures_their_columns_are_left_out(tmp_path: Path) -> None:
    write_sweep(tmp_path / "s", PLAIN)
    (comparison,) = compare_all([tmp_path / "s"], TOP1)
    headings = shown(table.single(comparison))[0]
    assert headings[8:] == ["parameters", "training images/s"]
    assert any("no measurement of its own" in note for note in table.single(comparison).footnotes)


def ask_for(folder: Path, wanted: dict[str, list[int]]) -> Comparison:
    """The sweep, of which nobody has asked for more than this."""
    index = json.loads((folder / "sweep.json").read_text())
    for name, entry in index["variants"].items():
        entry["wanted"] = wanted[name]
    (folder / "sweep.json").write_text(json.dumps(index))
    return compare_all([folder], TOP1)[0]


def test_what_nobody_has_asked_for_is_no_missing_run(tmp_path: Path) -> None:
    values = {"none": [0.90, 0.91, None], "se": [0.92, 0.94, None], "eca": [None, None, None]}
    folder = write_sweep(tmp_path / "s", values)
    found = table.single(ask_for(folder, {"none": [0, 1], "se": [0, 1], "eca": []}))
    assert [row[:2] for row in shown(found)[1:]] == [["none", "2"], ["se", "2"]]
    assert "not asked for so far, and left out: eca" in found.footnotes
    assert not any("seeds; " in note for note in found.footnotes)
    alone = table.single(ask_for(folder, {"none": [], "se": [0, 1, 2], "eca": []}))
    assert [row[:2] for row in shown(alone)[1:]] == [["none", "0"], ["se", "2/3"]]
    assert any("none, the baseline, has not been asked for" in note for note in alone.footnotes)
    write_report(folder)


def test_seeds_that_the_sweep_lacks_are_damage(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "s", PLAIN)
    with pytest.raises(UsageError, match=r"damaged: variants\.se\.wanted names seeds"):
        ask_for(folder, {"none": [0], "se": [7], "eca": []})


@pytest.mark.parametrize(("seeds", "warned"), [(1, False), (2, True), (3, False)])
def test_a_deviation_of_two_seeds_comes_with_a_warning(
    tmp_path: Path, seeds: int, warned: bool
) -> None:
    write_sweep(tmp_path / "s", {"none": [0.97] * seeds, "se": [0.98] * seeds})
    (comparison,) = compare_all([tmp_path / "s"], TOP1)
    notes = [n for n in table.single(comparison).footnotes if "hardly tell a standard" in n]
    assert bool(notes) is warned
    if warned:  # sqrt(1 / q) of the chi-squared distribution with one degree of freedom
        low, high = (stats.chi2.isf(p, 1) ** -0.5 for p in (0.025, 0.975))
        assert f"from {low:.2f} to {high:.0f} times" in notes[0]


def test_markdown_reads_back(hostile: Comparison) -> None:
    found = table.single(hostile)
    text = markdown.markdown(found)
    assert [[cell.strip() for cell in row] for row in markdown_rows(text)] == shown(found)
    assert "<" not in text.replace(r"\<", "")


def test_latex_reads_back(hostile: Comparison) -> None:
    found = table.single(hostile)
    assert latex_rows(latex.latex(found)) == shown(found)


def test_latex_is_ascii_and_latin_letters(hostile: Comparison) -> None:
    assert max(map(ord, latex.latex(table.single(hostile)))) < 0x250


def test_csv_reads_back_with_full_names_and_numbers(hostile: Comparison) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv([hostile]), newline="")))
    assert [row["variant"] for row in rows] == HOSTILE
    assert {row["mean"] for row in rows} == {"90.5"}
    assert rows[0]["difference"] == ""


def test_json_holds_every_value(tmp_path: Path) -> None:
    (found,) = json.loads(json.dumps(as_json([compared(tmp_path / "s")]), allow_nan=False))
    none, se, eca = found["rows"]
    assert found["metric"] == {"name": "test/top1", "unit": "%", "higher_is_better": True}
    assert se["values"] == pytest.approx({"0": 92.0, "1": 94.0, "2": 93.0})
    assert (eca["n"], eca["planned"], eca["missing"]) == (2, 3, "seed 2 incomplete, at step 100")
    assert (none["difference"], none["p_corrected"]) == (None, None)
    assert se["p_corrected"] == pytest.approx(2 * se["p"])
    assert se["infer_latency_ms_high"] == 4.0
    assert (se["published_1"], eca["published_2_std"]) == (22.28, 0.19)


def test_labels_are_single_distinct_lines() -> None:
    found = labels([*HOSTILE, "n" * 302])
    assert len(set(found.values())) == len(HOSTILE) + 1
    assert all(label.isprintable() or "\u200d" in label for label in found.values())
    assert all(0 < len(label) <= 64 for label in found.values())
    assert found["new\nline\r\n\ttab"] == "new line tab"


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("", ["none", "se", "eca"]),
        ("mean", ["se", "eca", "none"]),
        ("-mean", ["none", "eca", "se"]),
        ("variant", ["eca", "none", "se"]),
        ("difference", ["se", "eca", "none"]),  # the baseline has none
        ("-macs", ["se", "none", "eca"]),  # eca's are unknown, and last either way
        ("macs", ["none", "se", "eca"]),
        ("published_1", ["se", "none", "eca"]),  # an error: less is better
        ("std", ["none", "se", "eca"]),
        ("n", ["none", "se", "eca"]),
    ],
)
def test_rows_are_sorted_best_first(tmp_path: Path, sort: str, order: list[str]) -> None:
    found = table.single(compared(tmp_path / "s"), sort)
    assert [row[0].text for row in found.rows] == order


def test_losses_are_sorted_with_the_lowest_first(tmp_path: Path) -> None:
    write_sweep(tmp_path / "s", PLAIN)
    (comparison,) = compare_all([tmp_path / "s"], "test/loss")
    found = table.single(comparison, "mean")
    assert [row[0].text for row in found.rows] == ["se", "eca", "none"]
    assert found.rows[0][2].text == "0.0700 ± 0.0100"


def test_an_unknown_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no such column.*Did you mean 'mean'"):
        table.single(compared(tmp_path / "s"), "meen")


def test_merged_sweeps_are_groups_of_columns(tmp_path: Path) -> None:
    overrides = {name: {"model.attention.name": name} for name in ("none", "se", "eca", "new")}
    write_sweep(tmp_path / "a", PLAIN, overrides=overrides, published=FIGURES[:1])
    more: dict[str, list[float | None]] = {"none": [0.5, 0.6], "se": [0.6, 0.5], "new": [0.9, 0.8]}
    write_sweep(
        tmp_path / "b",
        more,
        overrides=overrides,
        published=FIGURES[1:],
        recipe={"dataset.name": "cifar100"},
    )
    both = compare_all([tmp_path / "a", tmp_path / "b"], TOP1)
    found = table.merged(both)
    assert found.groups == [("", 1), ("digits · resnet8", 5), ("cifar100 · resnet8", 5)]
    assert [row[0].text for row in found.rows] == ["none", "se", "eca", "new"]
    eca, new = found.rows[2], found.rows[3]
    assert eca[1].text == "92.00 ± 1.41 (2/3)"
    assert {cell.text for cell in eca[6:]} == {"–"}
    assert {cell.text for cell in new[1:6]} == {"–"}
    assert [column.mark for column in found.columns if column.mark] == [1, 2]
    assert [row[0].text for row in table.merged(both, "cifar100 · resnet8:mean").rows] == [
        *("new", "none", "se", "eca")
    ]
    with pytest.raises(UsageError, match="no sweep is labelled 'cifar'"):
        table.merged(both, "cifar:mean")

    assert latex_rows(latex.latex(found))[1:] == shown(found)
    assert r"\cmidrule(lr){2-6}\cmidrule(lr){7-11}" in latex.latex(found)
    assert markdown_rows(markdown.markdown(found))[1:] == shown(found)[1:]
    page = write_files(both, tmp_path / "out")
    lines = list(csv.DictReader(io.StringIO((page.parent / "table.csv").read_text())))
    assert [(line["sweep"], line["variant"]) for line in lines[2:4]] == [
        ("digits · resnet8", "eca"),
        ("cifar100 · resnet8", "none"),
    ]
    assert (page.parent / "cifar100_resnet8_seeds.png").exists()


def test_the_report_of_a_sweep_lies_in_it_and_comes_out_the_same_twice(tmp_path: Path) -> None:
    write_sweep(tmp_path / "s", PLAIN, published=FIGURES, cost=COST)
    page = write_report(tmp_path / "s")
    assert page == tmp_path / "s" / "report" / "report.html"
    names = {"table.md", "table.csv", "table.tex", "table.json", "report.html"}
    names |= {f"{name}.png" for name in ("accuracy_against_cost", "seeds", "differences", "curves")}
    first = {file.name: file.read_bytes() for file in page.parent.iterdir()}
    assert names <= first.keys()
    write_report(tmp_path / "s")
    assert {file.name: file.read_bytes() for file in page.parent.iterdir()} == first


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    write_sweep(tmp_path / "s", PLAIN)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="choose another --output"):
        write_report(tmp_path / "s", output=tmp_path / "file" / "report")
