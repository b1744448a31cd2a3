"""The images of a dataset on their way: out of the cache, or fetched, for this batch and for those after it."""

from __future__ import annotations

import os
from collections.abc import Collection
from concurrent.futures import CancelledError, Future
from typing import Any

from visprep.errors import UsageError
from visprep.loaders.cache import ImageCache
from visprep.loaders.fetch import Fetcher, ImageFile


def closed_before(what: str) -> UsageError:
    """The error of who waits for an image when everything is closed."""
    return UsageError(f"{what}: the dataset was closed before it came", hint="close it after the last batch")


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

    def claim(self, file: ImageFile) -> bytes | Future[bytes]:
        """An image that was sent for, or is now: its bytes, or those to come when it is fetched; for `bytes_of`."""
        self.send_for(file)
        return self._coming.pop(file)

    @staticmethod
    def bytes_of(file: ImageFile, held: bytes | Future[bytes]) -> bytes:
        """The bytes of what was claimed, waiting for them; what the fetcher raises."""
        try:
            return held if isinstance(held, bytes) else held.result()
        except CancelledError:
            raise UsageError(
                f"{file.url}: the dataset was closed before it came", hint="close it after the last batch"
            ) from None
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
