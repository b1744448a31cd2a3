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

#: Where a file of a task shall be, and what reads its bytes.
Entry: TypeAlias = "tuple[str, Callable[[], bytes]]"


def plan(entries: Callable[[], Iterator[Entry]], output: Output, first: Iterator[Entry] | None = None) -> None:
    """Have all files made whose names can be. `entries` is asked again and again, for names alone `first` before it.

    WrongContent when two have the same name: nobody could say which is meant.
    """
    bad: set[str] = set()
    marks = array("Q")
    for path, _ in first or entries():
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
                output.failed(path, error)
            continue
        marks.append(_mark(path))
    _check_once(marks, entries)
    output.plan(lambda: (Made(path, produce) for path, produce in entries() if path not in bad))


def _mark(path: str) -> int:
    digest = blake2b(path.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def _check_once(marks: array[int], entries: Callable[[], Iterator[Entry]]) -> None:
    found, counts = np.unique(np.array(marks, np.uint64), return_counts=True)
    twice = frozenset(found[counts > 1].tolist())
    seen: set[str] = set()
    for path, _ in entries() if twice else ():
        if _mark(path) in twice:
            if path in seen:
                raise WrongContent(f"{path} is there twice", hint="take one of the two away")
            seen.add(path)
