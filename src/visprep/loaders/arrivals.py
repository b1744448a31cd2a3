"""The images of a dataset on their way: out of the cache, or fetched, for this batch and for those after it."""

from __future__ import annotations

import os
from collections.abc import Collection
from concurrent.futures import CancelledError, Future
from typing import Any

from visprep.errors import VisprepError
from visprep.loaders.cache import ImageCache
from visprep.loaders.fetch import Fetcher, ImageFile


class Arrivals:
    """What was sent for and not taken yet, in this process; it can be pickled, and nothing is on its way then."""

    def __init__(self, fetcher: Fetcher, cache: ImageCache | None) -> None:
        self.fetcher, self.cache = fetcher, cache
        self._coming: dict[ImageFile, bytes | Future[bytes]] = {}
        self._pid = os.getpid()

    def send_for(self, file: ImageFile, next_use: int | None = None) -> None:
        """See to it that an image comes; `next_use` is the number of the draw at which it is wanted after this one."""
        if self._pid != os.getpid():  # what was on its way when this process was forked comes to the parent
            self._coming, self._pid = {}, os.getpid()
        if file not in self._coming:
            held = self.cache.get(file, next_use) if self.cache is not None else None
            self._coming[file] = self.fetcher.submit(file) if held is None else held

    def take(self, file: ImageFile) -> tuple[bytes, bool]:
        """The bytes of an image, waiting for them, and whether they were fetched; what the fetcher raises."""
        self.send_for(file)
        held = self._coming.pop(file)
        if isinstance(held, bytes):
            return held, False
        try:
            return held.result(), True
        except CancelledError:
            raise VisprepError(f"{file.url}: the dataset was closed before it came") from None
        finally:
            del held  # it holds the error, whose traceback would hold it

    def forget_but(self, files: Collection[ImageFile]) -> None:
        """Cancel what nobody will take."""
        for file in [file for file in self._coming if file not in files]:
            held = self._coming.pop(file)
            if isinstance(held, Future):
                held.cancel()

    def close(self) -> None:
        """End the threads and connections of this process."""
        self._coming = {}
        self.fetcher.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_coming": {}}
