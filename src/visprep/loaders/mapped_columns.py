"""Columns of numbers as one file that every process maps into its memory, so that all of them share its pages.

A line that names the format, a line of JSON that says which columns there are and where, then their bytes. The file
appears whole or not at all, and nobody changes it: who needs other numbers writes another file in its place.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

__all__ = ["Columns", "Damaged", "load", "save"]

_MAGIC = b"visprep columns 1\n"
_ALIGNED = 64

Array = npt.NDArray[Any]


class Damaged(Exception):
    """The file is none of ours, of another version, cut off, or its bytes are not those that were written."""


@dataclass(frozen=True)
class Columns:
    """Some columns by their names, what was noted with them, and the checksum of them all."""

    arrays: Mapping[str, Array]
    notes: Mapping[str, Any]
    checksum: int


class _Place(msgspec.Struct):
    """Where a column lies in the file."""

    dtype: str
    offset: int
    count: int


class _Head(msgspec.Struct):
    """The line that says what the file holds."""

    size: int
    checksum: int
    columns: dict[str, _Place]
    notes: dict[str, Any]


def save(path: Path, arrays: Mapping[str, Array], notes: Mapping[str, Any]) -> None:
    """Write the columns to a file, which is made or replaced at one moment; OSError when that cannot be."""
    places: dict[str, _Place] = {}
    at = checksum = 0
    for name, array in arrays.items():
        at += -at % _ALIGNED
        places[name] = _Place(array.dtype.str, at, len(array))
        checksum = zlib.crc32(_bytes(array), checksum)
        at += array.nbytes
    head = msgspec.json.encode(_Head(at, checksum, places, dict(notes)))
    head += b" " * (-(len(_MAGIC) + len(head) + 1) % _ALIGNED) + b"\n"
    descriptor, part = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(_MAGIC + head)
            base = file.tell()
            for name, array in arrays.items():
                file.write(bytes(base + places[name].offset - file.tell()))
                file.write(_bytes(array))
            file.flush()
            os.fsync(file.fileno())
        Path(part).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(part).unlink()
        raise


def load(path: Path, *, check: bool) -> Columns:
    """The columns of a file, mapped; with `check` all bytes are read, and held against their checksum.

    Damaged when it is not what `save` wrote; OSError when it cannot be read.
    """
    with path.open("rb") as file:
        if file.readline(len(_MAGIC)) != _MAGIC:
            raise Damaged(f"{path} is no file of columns")
        try:
            head = msgspec.json.decode(file.readline(), type=_Head)
            base = file.tell()
            if os.fstat(file.fileno()).st_size != base + head.size:
                raise Damaged(f"{path} is cut off")
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            arrays = {
                name: np.frombuffer(mapped, np.dtype(one.dtype), one.count, base + one.offset)
                for name, one in head.columns.items()
            }
        except (ValueError, TypeError) as problem:
            raise Damaged(f"{path} is damaged: {problem}") from problem
    if check:
        checksum = 0
        for array in arrays.values():
            checksum = zlib.crc32(_bytes(array), checksum)
        if checksum != head.checksum:
            raise Damaged(f"{path} is damaged: its checksum is wrong")
    return Columns(arrays, head.notes, head.checksum)


def _bytes(array: Array) -> memoryview:
    return np.ascontiguousarray(array).view(np.uint8).data
