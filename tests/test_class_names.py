"""Names of classes: which differences matter, and how they are told."""

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chanattn.class_names import check_distinct, difference, fingerprint
from chanattn.errors import UsageError
from chanattn.runs.classes import read_classes

NAMES = st.lists(st.text(alphabet="aeé\u0301\u0308ñ日\ud800", max_size=3), max_size=4)


@given(NAMES, NAMES)
def test_names_differ_where_their_composed_forms_do(one: list[str], other: list[str]) -> None:
    same = [unicodedata.normalize("NFC", x) for x in one] == [
        unicodedata.normalize("NFC", x) for x in other
    ]
    assert (difference(one, other) is None) == same
    assert (fingerprint(one) == fingerprint(other)) == same
    assert difference(one, [unicodedata.normalize("NFD", name) for name in one]) is None


def test_a_name_read_in_an_ascii_locale_is_the_same() -> None:
    for name in ("caf\u00e9", "\u65e5\u672c", "\U0001f600"):
        read = name.encode().decode("ascii", "surrogateescape")  # what Python makes of the folder
        assert read != name
        assert difference([read], [name]) is None
    assert difference(["a\udcff"], ["a"]) is not None


@pytest.mark.parametrize(
    ("own", "found", "told"),
    [
        ("cat dog", "cat fox", "new: 'fox'; absent: 'dog'"),
        ("cat dog", "cat dog fox", "3 classes instead of 2; new: 'fox'"),
        ("cat dog", "cat", "1 classes instead of 2; absent: 'dog'"),
        ("cat dog fox", "cat fox dog", "another order: class 1 is 'fox' instead of 'dog'"),
        ("a b c d e", "v w x y z", "new: 'v', 'w', 'x' and 2 more; absent: 'a', 'b', 'c' and 2"),
        ("a", "n" * 300, "new: '" + "n" * 40 + "...'; absent"),
    ],
)
def test_a_difference_is_told_in_a_few_words(own: str, found: str, told: str) -> None:
    answer = difference(own.split(), found.split())
    assert answer is not None
    assert told in answer
    assert len(answer) < 150


def test_two_classes_of_one_name_in_two_forms_are_refused() -> None:
    check_distinct(["\u00e9", "e"])
    with pytest.raises(UsageError, match=r"'\\xe9' and 'e\\u0301' differ only in their Unicode"):
        check_distinct(["a", "\u00e9", "e\u0301"])


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"names": "ab"}', '{"names": [1]}'])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    assert read_classes(tmp_path) is None
    (tmp_path / "classes.json").write_text(text)
    with pytest.raises(UsageError, match=r"classes\.json is damaged"):
        read_classes(tmp_path)


def test_any_name_of_a_folder_can_be_recorded(tmp_path: Path) -> None:
    names = ("\udcff", "日本", "a\nb")  # the first is no UTF-8 on the disk
    (tmp_path / "classes.json").write_text(json.dumps({"names": names}))
    assert read_classes(tmp_path) == names
