"""Which bytes of an archive to ask for: neighbouring files in one range, large ones in several, nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from visprep.stores.remote_zip import Packed

_MEBIBYTE = 1024 * 1024
#: Bytes of a range that neighbouring files are gathered for, and of the pieces of a large one.
SPAN = 2 * _MEBIBYTE
#: Files above this size, in the archive or out of it, are not held in memory whole.
_LARGE = 4 * _MEBIBYTE
#: Unwanted bytes between two files that cost less than another request.
GAP = 128 * 1024


@dataclass(frozen=True, slots=True)
class Span:
    """A range of an archive without its end: the files that lie in it whole, or the large one this is a piece of."""

    start: int
    end: int
    files: tuple[Packed, ...] = ()
    large: Packed | None = None

    @property
    def length(self) -> int:
        """Bytes of the range."""
        return self.end - self.start


def is_large(file: Packed) -> bool:
    """Whether a file comes in pieces."""
    return max(file.member.size, file.member.compressed) > _LARGE


def spans(files: Iterable[Packed], size: int | None = None) -> Iterator[Span]:
    """The ranges that hold `files`, in order; with `size`, the archive's, all that lies between them as well."""
    at, group = 0, _Group()
    for file in sorted(files, key=lambda one: one.member.offset):
        start, end = file.member.offset, file.member.limit
        if is_large(file) or not group.takes(start, end):
            yield from group.flush()
        if size is not None and not group.files:
            if is_large(file) or start - at > GAP:
                yield from _pieces(at, start)
            else:
                start = at
        if is_large(file):
            yield from _pieces(start, end, file)
        else:
            group.add(file, start)
        at = end
    yield from group.flush()
    if size is not None:
        yield from _pieces(at, size)


class _Group:
    """Files that are asked for together."""

    def __init__(self) -> None:
        self.files: list[Packed] = []
        self._start = 0

    def takes(self, start: int, end: int) -> bool:
        """Whether a file there belongs to them."""
        return not self.files or (start - self.files[-1].member.limit <= GAP and end - self._start <= SPAN)

    def add(self, file: Packed, start: int) -> None:
        """Take one more; of the first, `start` is where the range begins."""
        self._start = self._start if self.files else start
        self.files.append(file)

    def flush(self) -> Iterator[Span]:
        """The range of those that there are, and begin anew."""
        if self.files:
            yield Span(self._start, self.files[-1].member.limit, tuple(self.files))
            self.files = []


def _pieces(start: int, end: int, large: Packed | None = None) -> Iterator[Span]:
    for at in range(start, end, SPAN):
        yield Span(at, min(end, at + SPAN), large=large)
