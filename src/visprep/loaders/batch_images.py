"""The images of one batch: decoded as they arrive, by several threads, into one block of memory where that can be."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.data import get_worker_info

from visprep.loaders.arrivals import Arrivals, closed_before
from visprep.loaders.decode_threads import DecodeThreads, when_here
from visprep.loaders.decoding import Into, Pixels
from visprep.loaders.fetch import ImageFile
from visprep.loaders.lending import lend

#: An image of Pillow, or an array of pixels, of the bytes of an image; an array may be given for the pixels.
Decode = Callable[[bytes, Into | None], Any]


class BatchImages:
    """Gives the images of a batch, each as often as it is in `files`; those that are not in it, too.

    What came from afar and is whole goes into the cache, with the next use that `uses` tells. Where `decode` makes
    arrays, tensors of 3 x height x width are given; with `block`, those of one size are rows of one block of memory, in
    the order of `files`; with `lent`, that is memory which becomes a parcel, see `lending`.
    """

    def __init__(
        self,
        arrivals: Arrivals,
        threads: DecodeThreads,
        decode: Decode,
        files: Sequence[ImageFile] = (),
        *,
        uses: Mapping[ImageFile, int | None] | None = None,
        now: int | None = None,
        block: bool = False,
        lent: bool = False,
    ) -> None:
        self._arrivals, self._decode = arrivals, decode
        self._uses, self._now = uses or {}, now
        self._made: dict[ImageFile, deque[Callable[[], Any]]] = {}
        self._jobs: list[Future[Any]] = []
        room = _Block(len(files), lent) if block else None
        pool = threads.pool() if len(files) > 1 else None
        claimed: dict[ImageFile, bytes | Future[bytes]] = {}
        for number, file in enumerate(files):
            first = file not in claimed
            held = claimed[file] if not first else claimed.setdefault(file, arrivals.claim(file))
            work = partial(self._decoded, file, keep=first, row=_Row(room, number) if room else None)
            if pool is None:
                made: Callable[[], Any] = partial(work, held)
            else:
                job = pool.submit(work, held) if isinstance(held, bytes) else when_here(held, pool, work)
                self._jobs.append(job)
                made = partial(_outcome, file, job)
            self._made.setdefault(file, deque()).append(made)

    def image(self, file: ImageFile) -> Any:
        """An image; VisprepError when it cannot be had."""
        waiting = self._made.get(file)
        return waiting.popleft()() if waiting else self._decoded(file, self._arrivals.claim(file), keep=True)

    def close(self) -> None:
        """Leave undone what nobody waits for any more."""
        for job in self._jobs:
            job.cancel()

    def _decoded(self, file: ImageFile, held: bytes | Future[bytes], keep: bool, row: _Row | None = None) -> Any:
        data = self._arrivals.bytes_of(file, held)
        image = self._decode(data, row.of_size if row else None)
        cache = self._arrivals.cache
        if keep and cache is not None and not isinstance(held, bytes):
            cache.put(file, data, self._uses.get(file), self._now)
        if not isinstance(image, np.ndarray):
            return image
        tensor = row.tensor if row and row.tensor is not None else torch.from_numpy(image)
        return tensor.permute(2, 0, 1)


def _outcome(file: ImageFile, job: Future[Any]) -> Any:
    try:
        return job.result()
    except CancelledError:
        raise closed_before(file.url) from None


class _Block:
    """Memory for as many images of one size, that of the first one which asks; in a worker, shared with the parent."""

    def __init__(self, count: int, lent: bool) -> None:
        self._count, self._lent = count, lent
        self._lock = threading.Lock()
        self._rows: torch.Tensor | None = None

    def row(self, number: int, height: int, width: int) -> torch.Tensor | None:
        """The room of an image, None when it is of another size."""
        with self._lock:
            if self._rows is None:
                self._rows = _memory((self._count, height, width, 3), self._lent)
        return self._rows[number] if self._rows.shape[1:3] == (height, width) else None


class _Row:
    """Room for one image in a block; `tensor` once it was asked for and is of that image's size."""

    def __init__(self, block: _Block, number: int) -> None:
        self._block, self._number = block, number
        self.tensor: torch.Tensor | None = None

    def of_size(self, height: int, width: int) -> Pixels | None:
        """The same as an array; see `decoding.Into`."""
        self.tensor = self._block.row(self._number, height, width)
        return None if self.tensor is None else self.tensor.numpy()


def _memory(shape: tuple[int, ...], lent: bool) -> torch.Tensor:
    room = lend(shape, torch.uint8) if lent else None
    if room is not None:
        return room
    if get_worker_info() is None:
        return torch.empty(shape, dtype=torch.uint8)
    # As torch's own collate does it, so that the batch is not copied on its way out of the worker
    storage = torch.UntypedStorage._new_shared(math.prod(shape), device="cpu")  # type: ignore[no-untyped-call]
    return torch.empty(0, dtype=torch.uint8).set_(storage).reshape(shape)
