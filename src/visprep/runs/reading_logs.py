"""Reading the log of a run from where it lies, once or as it grows."""

from __future__ import annotations

from collections.abc import Iterator

from visprep.manifest import File
from visprep.messages import Patience
from visprep.runs.joined_logs import read_pieces
from visprep.runs.log_names import Kind, by_start
from visprep.runs.shipping import Target
from visprep.stores import Store
from visprep.wire import wait

_BLOCK = 1024 * 1024


class LogReader:
    """The log (or the metrics) below `path` of a place, from all starts of the training, in order.

    UsageError where the place is neither a directory nor in S3.
    """

    def __init__(self, store: Store, path: str, kind: Kind = "training", *, patience: Patience | None = None) -> None:
        self._at, self._kind = Target(store, path, patience), kind
        #: How many bytes of a whole log were read, how many pieces of one that is cut; by its start.
        self._bytes: dict[str, int] = {}
        self._pieces: dict[str, int] = {}

    def new(self) -> Iterator[bytes]:
        """What came since the last call, in blocks; at first all that is there. Nothing where there is no log yet.

        A block may end within a line. Raises StoreError, NetworkError or CredentialsError.
        """
        files = (File(path, size) for path, size in self._at.sizes().items())
        for start, pieces in by_start(files, self._kind).items():
            if pieces[0].number is None:
                yield from self._grown(start, pieces[0].file)
                continue
            new = [piece for piece in pieces if (piece.number or 0) >= self._pieces.get(start, 0)]
            for piece, data in zip(new, read_pieces(self._at.store, new, self._at.patience), strict=True):
                self._pieces[start] = (piece.number or 0) + 1
                yield data

    def _grown(self, start: str, file: File) -> Iterator[bytes]:
        while (done := self._bytes.get(start, 0)) < (file.size or 0):
            data = wait(self._at.store.read(file.path, done, _BLOCK), self._at.patience)
            if not data:
                return
            self._bytes[start] = done + len(data)
            yield data
