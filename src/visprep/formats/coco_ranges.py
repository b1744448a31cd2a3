"""Ranges of the bytes of a file, read in few pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from visprep.formats.coco_scan import BLOCK, Ints

#: Gives so many bytes from an offset on.
Read = Callable[[int, int], bytes]
#: Bytes within which ranges are read at once.
_TOGETHER = 4 * BLOCK


def joined(read: Read, starts: Ints, stops: Ints, gap: bytes) -> Iterator[bytes]:
    """Ranges of a file in order, with a gap between each two: read at once where they lie within some megabytes."""
    at = 0
    while at < len(starts):
        base = int(starts[at])
        upto = max(at + 1, int(np.searchsorted(stops, base + _TOGETHER, side="right")))
        if at:
            yield gap
        if stops[upto - 1] - base > _TOGETHER:
            yield from stretch(read, base, int(stops[at]))
        else:
            data = read(base, int(stops[upto - 1]) - base)
            bounds = zip((starts[at:upto] - base).tolist(), (stops[at:upto] - base).tolist(), strict=True)
            yield gap.join([data[start:stop] for start, stop in bounds])
        at = upto


def stretch(read: Read, start: int, stop: int) -> Iterator[bytes]:
    """The bytes `start` to `stop`, in pieces of at most a block."""
    for at in range(start, stop, BLOCK):
        yield read(at, min(BLOCK, stop - at))
