"""Long lists of cases of one kind: a part for every run of the tests, all of them for `make soak`."""

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def every(number: int, cases: Iterable[Any]) -> list[Any]:
    """Each `number`-th case as it is, the others marked `soak`; tuples are several arguments."""
    return [_leave(case, index % number == 0) for index, case in enumerate(cases)]


def only(chosen: Collection[Any], cases: Iterable[Any]) -> list[Any]:
    """The chosen cases as they are, the others marked `soak`."""
    return [_leave(case, case in chosen) for case in cases]


def _leave(case: Any, keep: bool) -> Any:
    arguments = case if isinstance(case, tuple) else (case,)
    return pytest.param(*arguments, marks=[] if keep else [pytest.mark.soak])
