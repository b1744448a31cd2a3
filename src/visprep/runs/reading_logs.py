"""Reading the log of a run from where it lies, once or as it grows."""

from __future__ import annotations

from collections.abc import Iterator

from visprep.runs.log_pieces import Kind
from visprep.stores import Store


class LogReader:
    """The log (or the metrics) below `path` of a place, from all starts of the training, in order."""

    def __init__(self, store: Store, path: str, kind: Kind = "training") -> None:
        raise NotImplementedError

    def new(self) -> Iterator[bytes]:
        """What came since the last call, in pieces; at first all that is there. Nothing where there is no log yet."""
        raise NotImplementedError
