"""The files of tasks on their way out of tables and archives: their names first, their bytes one by one then."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import TypeAlias

import numpy as np

from visprep.convert_output import Made, Output
from visprep.errors import UnsafePath, VisprepError, WrongContent
from visprep.manifest import DATASET
from visprep.stores import is_record, safe_path

__all__ = ["Entry", "plan"]

#: Where a file of a task shall be, what reads its bytes, and where these are: the member or row, as people find it.
Entry: TypeAlias = "tuple[str, Callable[[], bytes], str]"


def plan(entries: Callable[[], Iterator[Entry]], output: Output, first: Iterator[Entry] | None = None) -> None:
    """Have all files made whose names can be. `entries` is asked again and again, for names alone `first` before it.

    Of two with the same name none is made: nobody could say which is meant.
    """
    bad: set[str] = set()
    marks = array("Q")
    for path, _, where in first or entries():
        try:
            safe_path(path)
            path.encode()
            if path == DATASET or is_record(path):
                raise UnsafePath(f"{path}: visprep keeps its own record there", hint="leave it out")
        except UnicodeEncodeError:
            pass  # a file may be called so on disk
        except VisprepError as error:
            if path not in bad:
                bad.add(path)
                output.failed(path, type(error)(f"{where}: {error.message}", hint=error.hint))
            continue
        marks.append(_mark(path))
    for path, (first_one, another) in _twice(marks, entries).items():
        bad.add(path)
        words = f"{path} is there twice: {first_one}, and {another}"
        output.failed(path, WrongContent(words, hint="take one of the two away, or give it another name"))
    output.plan(lambda: (Made(path, produce) for path, produce, _ in entries() if path not in bad))


def _mark(path: str) -> int:
    digest = blake2b(path.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def _twice(marks: array[int], entries: Callable[[], Iterator[Entry]]) -> dict[str, tuple[str, str]]:
    """The names that two files have, and where the first two of these are."""
    found, counts = np.unique(np.array(marks, np.uint64), return_counts=True)
    twice = frozenset(found[counts > 1].tolist())
    firsts: dict[str, str] = {}
    both: dict[str, tuple[str, str]] = {}
    for path, _, where in entries() if twice else ():
        if _mark(path) in twice and firsts.setdefault(path, where) != where:
            both.setdefault(path, (firsts[path], where))
    return both
